package ssh

import (
	"context"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
)

// maxHops bounds a chain of servers, which a configuration can make endless.
const maxHops = 8

// hops gives the servers on the way to h, first one first, as ssh understands ProxyJump: each of a list is reached through the
// one before, and the first one as its own configuration says.
func hops(h host, o Options) ([]host, error) {
	var way []host
	for next := h.jumps; next != ""; {
		var list []host
		for word := range strings.SplitSeq(next, ",") {
			t, err := parseJump(strings.TrimSpace(word))
			if err != nil {
				return nil, fmt.Errorf("ProxyJump %q: %w", word, err)
			}
			hop, err := resolve(t, o)
			if err != nil {
				return nil, err
			}
			list = append(list, hop)
		}
		if way = append(list, way...); len(way) > maxHops {
			return nil, fmt.Errorf("ProxyJump leads over more than %d servers; does it lead in a circle?", maxHops)
		}
		next = list[0].jumps
	}
	return way, nil
}

// parseJump reads [user@]host[:port] or ssh://[user@]host[:port].
func parseJump(word string) (device.Target, error) {
	if !strings.Contains(word, "://") {
		word = "ssh://" + word
	}
	return Parse(word)
}

// reach connects to h over the servers on the way. The connections to those, to be closed after it, come first.
func reach(ctx context.Context, h host, o Options) ([]*ssh.Client, error) {
	way, err := hops(h, o)
	if err != nil {
		return nil, err
	}
	var clients []*ssh.Client
	for i, hop := range append(way, h) {
		ho := o
		switch {
		case i > 0:
			ho.Dial = through(clients[i-1])
		case hop.proxy != "" && o.Dial == nil:
			if ho.Dial, err = proxied(hop); err != nil {
				return nil, err
			}
		}
		if i < len(way) {
			ho.Password = "" // It is the device's.
		}
		c, err := connect(ctx, hop, ho)
		if err != nil {
			closeAll(clients)
			if i < len(way) {
				err = fmt.Errorf("on the way over %s: %w", hop.target(), err)
			}
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// through dials from a server on.
func through(c *ssh.Client) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.DialContext(ctx, network, address)
	}
}

func closeAll(clients []*ssh.Client) {
	for i := len(clients) - 1; i >= 0; i-- {
		_ = clients[i].Close() // They are given up.
	}
}
