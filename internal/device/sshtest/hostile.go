package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
)

// Hostile is a server that means harm. What is nil it does as a server should, but for commands, of which it runs none.
type Hostile struct {
	// Raw gets a connection instead of the handshake; the connection is closed when it returns.
	Raw func(net.Conn)
	// Configure changes how users are let in; without it everybody is.
	Configure func(*ssh.ServerConfig)
	// Session is a command: what it is told to run, and its streams. The status 0 follows when it returns, unless it has closed them.
	// Without it commands are taken and never answered.
	Session func(command string, c ssh.Channel)
	// Refuse opens no session, and does not say so.
	Refuse bool
}

// Serve serves until the test's end, and gives the target and a known_hosts that knows its key.
func (h Hostile) Serve(t testing.TB) (target device.Target, knownHosts string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: h.Configure == nil}
	if h.Configure != nil {
		h.Configure(config)
	}
	config.AddHostKey(signer)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close() // It is only to end.
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close() // Most have been closed by the client.
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			go h.talk(conn, config)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	knownHosts = filepath.Join(t.TempDir(), "known_hosts")
	line := fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(signer.PublicKey()))
	if err := os.WriteFile(knownHosts, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return device.Target{Kind: device.SSH, User: "root", Host: "127.0.0.1", Port: port}, knownHosts
}

func (h Hostile) talk(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close() // The client has seen what it was to see.
	if h.Raw != nil {
		h.Raw(conn)
		return
	}
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests) // It answers signs of life.
	for c := range channels {
		if h.Refuse {
			continue
		}
		channel, asked, err := c.Accept()
		if err != nil {
			return
		}
		go h.session(channel, asked)
	}
}

func (h Hostile) session(c ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		if r.Type != "exec" {
			continue
		}
		var command struct{ Line string }
		if ssh.Unmarshal(r.Payload, &command) != nil {
			return
		}
		if r.Reply(true, nil) != nil {
			return
		}
		if h.Session == nil {
			continue
		}
		go func() {
			h.Session(command.Line, c)
			_, _ = c.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0})) // It may be closed.
			_ = c.Close()
		}()
	}
}
