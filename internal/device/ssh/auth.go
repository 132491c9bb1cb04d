package ssh

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// AuthError is a user whom the server did not let in.
type AuthError struct {
	User string
	// Tried says what was offered, for people; no secret is in it.
	Tried string
	// Err is what the server or the library said.
	Err error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s was not let in with %s: %v", e.User, e.Tried, e.Err)
}

// Unwrap gives the library's error.
func (e *AuthError) Unwrap() error { return e.Err }

// auth offers what is there, in order: keys of files, keys of the agent, the password, an answer.
type auth struct {
	host    host
	options Options
	waiting *waiting

	begun    bool // the server has asked who it is
	log      []string
	agent    net.Conn
	password bool  // it was used
	failure  error // why nobody answered
	// questions are those that the server has asked in words of its own.
	questions int
}

func (a *auth) methods() []ssh.AuthMethod {
	list := []ssh.AuthMethod{ssh.PublicKeysCallback(a.signers)}
	if a.options.Password != "" || a.options.Ask != nil {
		tries := 1
		if a.options.Ask != nil {
			tries = 3
		}
		list = append(list,
			ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) { return a.secret() }), tries),
			ssh.RetryableAuthMethod(ssh.KeyboardInteractive(a.answer), tries))
	}
	return list
}

func (a *auth) close() {
	if a.agent != nil {
		_ = a.agent.Close() // It was only asked.
	}
}

func (a *auth) said() string {
	if len(a.log) == 0 {
		return "nothing: there is no key, no agent and no password"
	}
	return strings.Join(a.log, ", ")
}

// signers gives all keys. Those of files that cannot be read are named in the error of a login that fails.
func (a *auth) signers() ([]ssh.Signer, error) {
	a.begun = true
	var list []ssh.Signer
	held, heldErr := a.held()
	for _, path := range a.host.identities {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = TooOpen(path)
			if err != nil && a.options.Warn != nil {
				a.options.Warn(fmt.Sprintf("the private key is not used: %v", err))
			}
		}
		if err == nil {
			var s ssh.Signer
			if s, err = ssh.ParsePrivateKey(text); err == nil {
				list = append(list, s)
				a.log = append(a.log, "the key "+path)
				continue
			}
			if locked := a.locked(path, text, err); locked != nil && a.options.Ask != nil {
				if !holds(held, locked.public) { // The agent's needs no passphrase.
					list = append(list, locked)
					a.log = append(a.log, "the key "+path+", which has a passphrase")
				}
				continue
			}
		}
		a.log = append(a.log, fmt.Sprintf("not the key %s (%v)", path, err))
	}
	if heldErr != nil {
		a.log = append(a.log, fmt.Sprintf("not the agent (%v)", heldErr))
	}
	if len(held) > 0 {
		a.log = append(a.log, fmt.Sprintf("%d keys of the agent", len(held)))
	}
	return append(list, held...), nil
}

// held gives the agent's keys.
func (a *auth) held() ([]ssh.Signer, error) {
	socket := a.options.Agent
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" || socket == "none" {
		return nil, nil
	}
	//nolint:noctx // A socket of this machine.
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	a.agent = conn
	return agent.NewClient(conn).Signers()
}

// setPassword gives the password that was set, once.
func (a *auth) setPassword() (string, bool) {
	if a.options.Password == "" || a.password {
		return "", false
	}
	a.password = true
	a.log = append(a.log, "the password that is set")
	return a.options.Password, true
}

// secret gives the password that was set, once, and then what somebody types.
func (a *auth) secret() (string, error) {
	if text, ok := a.setPassword(); ok {
		return text, nil
	}
	return a.ask(Question{Server: a.host.server(), What: "password of " + a.host.server()})
}

// ask asks somebody, if there is one, for what is sent to the server.
func (a *auth) ask(q Question) (string, error) {
	if a.options.Ask == nil {
		return "", io.EOF // No more to offer.
	}
	a.waiting.begin()
	defer a.waiting.end()
	a.log = append(a.log, "a password that was asked for")
	text, err := a.options.Ask(q)
	if err != nil {
		a.failure = err
	}
	return text, err
}
