package sshtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Stop is the power cut: it kills the server, its connections, and the commands that run in them. A server that does not run is
// left alone.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func (s *Server) stop() {
	if s.cmd == nil {
		return
	}
	s.kill(true)
	<-s.ended
	s.cmd = nil
}

// Drop kills the connections and the commands that run in them. The server goes on and takes new ones.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.kill(false)
	}
}

// kill stops the processes before it kills them, so that none of them starts another one meanwhile.
func (s *Server) kill(server bool) {
	root := s.cmd.Process.Pid
	if server {
		_ = syscall.Kill(root, syscall.SIGSTOP) // It may have ended.
	}
	var all []int
	for found := true; found; {
		found = false
		for _, pid := range below(root, all) {
			found = true
			all = append(all, pid)
			_ = syscall.Kill(pid, syscall.SIGSTOP) // It may have ended.
		}
	}
	if server {
		all = append(all, root)
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended.
	}
}

// below gives the children of root and of known, without known.
func below(root int, known []int) []int {
	family := map[int]bool{root: true}
	for _, pid := range known {
		family[pid] = true
	}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is right.
	var list []int
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // It has ended.
		}
		// The program's name stands in brackets and may hold anything.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		pid, e := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if e != nil || len(fields) < 2 || family[pid] {
			continue
		}
		if parent, e := strconv.Atoi(string(fields[1])); e == nil && family[parent] {
			list = append(list, pid)
		}
	}
	return list
}
