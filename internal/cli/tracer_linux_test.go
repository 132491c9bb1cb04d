package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tracer runs programs under strace and says what they did to the network and to files.
type tracer struct{ strace, program string }

// newTracer builds the program. Without strace, or where a process may not be traced, the test is skipped.
func newTracer(t *testing.T) tracer {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("SKIPPED FOR WANT OF strace: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED FOR WANT OF strace: processes may not be traced here: %v %s", err, out)
	}
	return tracer{strace, buildProgram(t)}
}

// traced are the system calls that make or change files or open connections.
const traced = "%network,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,truncate,chdir"

// trace runs the program with all that it starts and gives its calls, one a line, as strace writes them. Every process that ends by itself
// is held up so long in its last call, in which its other threads go on: what a library does in the background shows.
func (r tracer) trace(t *testing.T, dir string, env []string, lingers time.Duration, args ...string) (calls []string, out []byte, err error) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	options := []string{"-ff", "-y", "-q", "-q", "-s", "500", "-e", "signal=none", "-e", "trace=" + traced, "-o", log}
	if lingers > 0 {
		options[len(options)-3] += ",exit_group"
		options = append([]string{"-e", fmt.Sprintf("inject=exit_group:delay_enter=%d", lingers.Microseconds())}, options...)
	}
	cmd := exec.CommandContext(t.Context(), r.strace, append(append(options, r.program), args...)...)
	cmd.Dir, cmd.Env = dir, env
	out, err = cmd.CombinedOutput()
	logs, globErr := filepath.Glob(log + ".*")
	if globErr != nil || len(logs) == 0 {
		t.Fatalf("strace left no calls: %v %s", globErr, out)
	}
	for _, l := range logs {
		data, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, strings.Split(strings.TrimSpace(string(data)), "\n")...)
	}
	return calls, out, err
}

// inet are the calls that name the other end of a connection, or open it.
var (
	socket  = regexp.MustCompile(`^socket\((AF_[A-Z0-9]+)`)
	address = regexp.MustCompile(`sa_family=(AF_INET6?), .*?(?:sin_port|sin6_port)=htons\((\d+)\).*?(?:inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)")`)
)

// connections lists the calls that reach for the network, or the kernel's side of it. Those to one port of the loopback are allowed, if
// it is not "", and with it what Go tries before it dials: to bind to the loopback.
func connections(calls []string, port string) (bad []string) {
	for _, call := range calls {
		if m := socket.FindStringSubmatch(call); m != nil && m[1] != "AF_UNIX" && (port == "" || m[1] != "AF_INET" && m[1] != "AF_INET6") {
			bad = append(bad, call)
		}
		if m := address.FindStringSubmatch(call); m != nil {
			to := m[3] + m[4]
			loopback := to == "127.0.0.1" || to == "::1" || to == "::ffff:127.0.0.1"
			own := loopback && (m[2] == port || m[2] == "0" && strings.HasPrefix(call, "bind("))
			// What the kernel says of the own end, after the connection is there.
			asked := loopback && (strings.HasPrefix(call, "getsockname(") || strings.HasPrefix(call, "getpeername("))
			if port == "" || !own && !asked {
				bad = append(bad, call)
			}
		}
	}
	return bad
}

var (
	quoted     = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"(\.\.\.)?`)
	folder     = regexp.MustCompile(`AT_FDCWD<([^>]*)>, "|\d+<([^>]*)>, "`)
	forWriting = regexp.MustCompile(`O_(CREAT|WRONLY|RDWR|TMPFILE|TRUNC|APPEND)`)
)

// writtenOutside lists the calls that made, changed or renamed a file outside of folders, or tried to; the working folder is one of them.
// Devices that keep nothing are no files.
func writtenOutside(calls []string, dir string, folders ...string) (bad []string) {
	inside := func(path string) bool {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		path = filepath.Clean(path)
		return path == "/dev/null" || path == "/dev/tty" || strings.HasPrefix(path, "/proc/self/") || strings.HasPrefix(path, "/memfd:") ||
			slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
	}
	for _, call := range calls {
		name, rest, _ := strings.Cut(call, "(")
		if !strings.Contains("/"+strings.ReplaceAll(traced, ",", "/")+"/", "/"+name+"/") {
			continue
		}
		if strings.HasPrefix(name, "open") && !forWriting.MatchString(rest) {
			continue
		}
		for i, p := range quoted.FindAllStringSubmatchIndex(rest, -1) {
			path := rest[p[2]:p[3]]
			if strings.HasPrefix(name, "symlink") && i == 0 {
				continue // what a link says
			}
			if m := folder.FindStringSubmatch(rest[:p[2]]); m != nil && !filepath.IsAbs(path) {
				path = filepath.Join(m[1]+m[2], path)
			}
			if !inside(path) {
				bad = append(bad, call)
				break
			}
		}
	}
	return bad
}
