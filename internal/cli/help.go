package cli

import (
	"os"
	"strconv"
	"sync"

	"github.com/alecthomas/kong"
)

// Columns that help is wrapped at: so many where the width is not known, and at most so many.
const (
	usualHelp = 100
	mostHelp  = 110
)

// helpColumns is the width of help: that of the terminal that it is printed on, else what $COLUMNS says, else the usual.
func helpColumns(terminal bool, width int, columns string) int {
	if terminal {
		return width
	}
	if n, err := strconv.Atoi(columns); err == nil && n > 0 {
		return n
	}
	return usualHelp
}

// printing guards $COLUMNS while help is printed.
var printing sync.Mutex

// help prints help. The library measures files alone, and asks $COLUMNS first: so that is set meanwhile.
func (c *console) help(options kong.HelpOptions, ctx *kong.Context) error {
	printing.Lock()
	defer printing.Unlock()
	columns, there := os.LookupEnv("COLUMNS")
	width, _ := c.stdout.Size()
	if err := os.Setenv("COLUMNS", strconv.Itoa(helpColumns(c.stdout.IsTerminal(), width, columns))); err != nil {
		return err
	}
	defer func() {
		if there {
			_ = os.Setenv("COLUMNS", columns)
		} else {
			_ = os.Unsetenv("COLUMNS")
		}
	}()
	return kong.DefaultHelpPrinter(options, ctx)
}
