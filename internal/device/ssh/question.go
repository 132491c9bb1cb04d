package ssh

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"quantcheck/internal/terminal"
)

// Question is what somebody is asked. Who asks is never left open: an answer goes to the server that is named, or nowhere.
type Question struct {
	// Server is user@host:port of the server that gets the answer; "" is a question of the program's own, whose answer stays here.
	Server string
	// Says and Asks are a server's own words, "" where the program asks. They are one line each, safe to print, and not long.
	Says, Asks string
	// What is asked for, in the program's own words: a passphrase, a password.
	What string
}

// String is the question as it is put to people. A server's words stand in quotation marks behind its name, so that none of them can
// look like the program's.
func (q Question) String() string {
	if q.Server == "" {
		return fmt.Sprintf("quantcheck needs the %s (it stays on this machine): ", q.What)
	}
	if q.Asks == "" {
		return fmt.Sprintf("quantcheck needs the %s, which is sent to that server: ", q.What)
	}
	text := "The server " + q.Server
	if q.Says != "" {
		text += fmt.Sprintf(" says %s and", quote(q.Says))
	}
	return fmt.Sprintf("%s asks %s; what you type is sent to it: ", text, quote(q.Asks))
}

// asked is a server's question; one without words is a question all the same.
func asked(server, says, asks string) Question {
	q := Question{Server: server, Says: words(says), Asks: words(asks)}
	if q.Asks == "" {
		q.Asks = "…"
	}
	return q
}

// quote puts words in quotation marks; those within become single ones.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, "'") + `"` }

// A server may ask so many questions in all, of so many characters.
const (
	questionsLimit = 10
	wordsLimit     = 200
)

// words makes a server's words one line that is safe to print, and not long.
func words(s string) string {
	s = terminal.Text(strings.TrimSpace(s))
	if r := []rune(s); len(r) > wordsLimit {
		s = string(r[:wordsLimit]) + "…"
	}
	return s
}

// passwordPrompt is how servers ask for a user's password: OpenSSH's and PAM's words, with the user's name or without. It is not any
// prompt that has the word in it: a one-time password, a passphrase or a code is something else.
var passwordPrompt = regexp.MustCompile(`(?i)^(\([^()]*\) ?)?([^ ']+'s )?password( for [^ ]+)? ?:?$`)

// wantsPassword reports whether a server asks for the user's password, and nothing else.
func wantsPassword(questions []string, echos []bool) bool {
	return len(questions) == 1 && len(echos) == 1 && !echos[0] && passwordPrompt.MatchString(strings.TrimSpace(questions[0]))
}

// errTooManyQuestions ends a login.
var errTooManyQuestions = errors.New("the server asked too many questions")

// answer answers a server that asks in words of its own. The password that is set goes, once, to one that asks for the password; all
// else is put to somebody, marked as the server's.
func (a *auth) answer(name, instruction string, questions []string, echos []bool) ([]string, error) {
	if a.questions += len(questions); a.questions > questionsLimit {
		a.failure = fmt.Errorf("%w: over %d", errTooManyQuestions, questionsLimit)
		return nil, a.failure
	}
	if wantsPassword(questions, echos) {
		if text, ok := a.setPassword(); ok {
			return []string{text}, nil
		}
	}
	answers := make([]string, len(questions))
	says := name + " " + instruction
	for i, q := range questions {
		if a.options.Ask == nil {
			a.log = append(a.log, fmt.Sprintf("nothing for what the server asked, %s", quote(words(q))))
			return nil, io.EOF // Nobody answers.
		}
		var err error
		if answers[i], err = a.ask(asked(a.host.server(), says, q)); err != nil {
			return nil, err
		}
	}
	return answers, nil
}
