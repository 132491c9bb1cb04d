package cli

import "testing"

func TestWhatTheTracerReports(t *testing.T) {
	t.Parallel()
	for call, c := range map[string]struct {
		port     string
		net, out bool
	}{
		`socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3<socket:[1]>`:                                      {"", false, false},
		`socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3<socket:[1]>`:                                           {"", true, false},
		`socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3<socket:[1]>`:                                        {"22", false, false},
		`socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 3`:                                      {"22", true, false},
		`connect(3, {sa_family=AF_INET, sin_port=htons(22), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:      {"22", false, false},
		`connect(3, {sa_family=AF_INET, sin_port=htons(23), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:      {"22", true, false},
		`connect(3, {sa_family=AF_INET, sin_port=htons(22), sin_addr=inet_addr("10.0.0.1")}, 16) = 0`:       {"22", true, false},
		`connect(3, {sa_family=AF_INET6, sin6_port=htons(22), inet_pton(AF_INET6, "fe80::1", &x)}, 28) = 0`: {"22", true, false},
		`bind(3, {sa_family=AF_INET6, sin6_port=htons(0), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0`: {"22", false, false},
		`bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("0.0.0.0")}, 16) = 0`:            {"22", true, false},
		`openat(AT_FDCWD</w>, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3</etc/hosts>`:                            {"", false, false},
		`openat(AT_FDCWD</w>, "results/a", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</w/results/a>`:                  {"", false, false},
		`openat(AT_FDCWD</w>, "../a", O_WRONLY|O_CREAT, 0600) = 3</a>`:                                      {"", false, true},
		`openat(AT_FDCWD</h>, "a", O_WRONLY|O_CREAT, 0600) = 3</h/a>`:                                       {"", false, true},
		`openat(7</h/.cache>, "a", O_RDWR|O_CREAT, 0600) = -1 EACCES (Permission denied)`:                   {"", false, true},
		`openat(AT_FDCWD</w>, "/dev/null", O_RDWR|O_CLOEXEC) = 3</dev/null>`:                                {"", false, false},
		`openat(AT_FDCWD</w>, "/dev/shm/x", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3</dev/shm/x>`:                {"", false, true},
		`mkdir("/h/.cache", 0700) = 0`:                             {"", false, true},
		`mkdirat(AT_FDCWD</w>, "results", 0777) = 0`:               {"", false, false},
		`renameat(AT_FDCWD</w>, "/w/a", AT_FDCWD</w>, "/h/a") = 0`: {"", false, true},
		`rename("/w/a", "/w/b") = 0`:                               {"", false, false},
		`symlinkat("/etc/passwd", AT_FDCWD</w>, "link") = 0`:       {"", false, false},
		`symlinkat("x", AT_FDCWD</w>, "/h/link") = 0`:              {"", false, true},
		`creat("/h/a", 0600) = 3</h/a>`:                            {"", false, true},
		`open("/workspace", O_RDWR|O_CREAT, 0600) = 3</workspace>`: {"", false, true},
		`linkat(13</h>, "a", 13</h>, "b", 0) = 0`:                  {"", false, true},
	} {
		if got := connections([]string{call}, c.port); (len(got) > 0) != c.net {
			t.Errorf("network, port %q: %v of %s", c.port, got, call)
		}
		if got := writtenOutside([]string{call}, "/w", "/w", "/t"); (len(got) > 0) != c.out {
			t.Errorf("files: %v of %s", got, call)
		}
	}
}
