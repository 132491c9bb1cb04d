package cli

import (
	"errors"
	"fmt"
	"os/exec"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qnn"
	"quantcheck/internal/report"
)

type doctorCmd struct {
	Folder        []string `arg:"" optional:"" help:"Workspaces, or other folders that files were written to, to look in for what killed runs left (the working folder)."`
	Clean         bool     `help:"Remove what killed runs left there and in the folder of temporary files."`
	Install       string   `placeholder:"onnxruntime|htp" enum:",onnxruntime,htp" default:"" help:"Fetch what is missing into the user's cache folder, the only thing that quantcheck ever fetches: onnxruntime, the library that check needs, or htp, the emulator's."`
	AcceptLicense bool     `help:"Accept the licences that the installed libraries come under."`
	JSON          bool     `name:"json" help:"Print the list as JSON."`
	OrtLib        string   `placeholder:"FILE" help:"The ONNX Runtime library, as for check."`
}

// Help documents the command.
func (doctorCmd) Help() string {
	return "Lists what quantcheck can use on this machine and what is missing, each with the command that brings it. Only ONNX Runtime is needed for check. Then lists the temporary files and folders that killed runs left; a run removes them by itself where it writes, and --clean does here."
}

// part is something that quantcheck uses.
type part struct {
	Name  string `json:"name"`
	For   string `json:"for"`
	Found string `json:"found"` // "" if it is missing
	Bring string `json:"bring"` // the command that brings it
	Says  string `json:"says,omitempty"`
}

func (c *doctorCmd) parts() []part {
	list := []part{
		{Name: "ONNX Runtime", For: "every inference on the CPU", Bring: "quantcheck doctor --install onnxruntime"},
		{Name: "HTP emulator", For: "variants with @htp, quantize --dlc", Bring: "quantcheck doctor --install htp"},
	}
	if path, err := onnxruntime.Find(c.OrtLib); err == nil {
		list[0].Found = path
	} else {
		list[0].Says = err.Error()
	}
	if kit, err := qnn.Find(""); err == nil {
		list[1].Found = fmt.Sprintf("%s (onnxruntime-qnn %s)", kit.Dir, qnn.Version)
	} else {
		list[1].Says = err.Error()
	}
	for _, p := range []struct {
		part
		programs []string
	}{
		{part{Name: "python3 with pip", For: "doctor --install", Bring: "apt-get install python3-pip"}, []string{"python3"}},
		{part{Name: "adb", For: "boards on USB", Bring: "apt-get install adb"}, []string{"adb"}},
		{part{Name: "ssh", For: "boards on a network", Bring: "apt-get install openssh-client"}, []string{"ssh"}},
		{part{Name: "SNPE tools", For: "converting, and measuring on a board", Bring: "unpack Qualcomm's SDK, then source bin/envsetup.sh"}, []string{"snpe-net-run", "snpe-onnx-to-dlc", "snpe-dlc-quant", "snpe-dlc-info"}},
		{part{Name: "Chromium", For: "the page's tests", Bring: "apt-get install chromium"}, []string{"chromium", "chromium-browser", "google-chrome"}},
	} {
		for _, program := range p.programs {
			if path, err := exec.LookPath(program); err == nil {
				p.Found = path
				break
			}
		}
		list = append(list, p.part)
	}
	return list
}

func (c *doctorCmd) Run(con *console) error {
	switch c.Install {
	case "htp":
		return c.install(con)
	case "onnxruntime":
		return installRuntime(con)
	}
	list := c.parts()
	left, err := c.leftovers()
	if err != nil {
		return err
	}
	if c.JSON {
		return report.JSON(con.stdout.Data(), append(list, left...))
	}
	for _, p := range list {
		mark, text := "there  ", p.Found
		if p.Found == "" {
			mark, text = "missing", "for "+p.For+": "+p.Bring
		}
		fmt.Fprintf(con.stdout, "%s  %-16s  %s\n", mark, p.Name, report.Printable(text))
		if p.Says != "" {
			fmt.Fprintf(con.stdout, "%27s%s\n", "", report.Printable(p.Says))
		}
	}
	for _, p := range left {
		fmt.Fprintf(con.stdout, "%s  %-16s  %s\n%27s%s\n", "left   ", p.Name, report.Printable(p.Found), "", p.Says)
	}
	return nil
}

func installRuntime(con *console) error {
	got, err := onnxruntime.Install(con.ctx, con.stderr)
	if err != nil {
		return err
	}
	is := "ready"
	if got.Already {
		is = "there already"
	}
	_, err = fmt.Fprintf(con.stdout, "ONNX Runtime is %s: %s\nIts licence, MIT: %s\n", is, report.Printable(got.Path), report.Printable(got.Licence))
	return err
}

func (c *doctorCmd) install(con *console) error {
	got, err := qnn.Install(con.ctx, c.AcceptLicense, con.stderr)
	var licence *qnn.LicenceError
	if errors.As(err, &licence) {
		fmt.Fprintf(con.stdout, "The provider's licence:\n\n%s\n", licence.MIT)
		return usageError{err}
	}
	if err != nil {
		if con.ctx.Err() != nil {
			return con.ctx.Err()
		}
		if errors.Is(err, qnn.ErrUnavailable) {
			return err
		}
		return fmt.Errorf("%w: %w", qnn.ErrUnavailable, err)
	}
	if got.Already {
		fmt.Fprintf(con.stdout, "The HTP emulator is there already: %s\n", report.Printable(got.Kit.Dir))
		return nil
	}
	fmt.Fprintf(con.stdout, "The HTP emulator is ready: %s\nTry: quantcheck check MODEL.onnx --images FOLDER --variant w8a8 --variant w8a8@htp\n", report.Printable(got.Kit.Dir))
	return nil
}
