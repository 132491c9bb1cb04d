// Testsum reads `go test -json` and prints what people need: a line per package, the output of what failed, every skip
// with its reason (those that want the folder of fixtures beside the project are counted in one line), what tests of accidents counted (their lines that begin with "soak: "), and the counts. It fails if a test failed, and, with QUANTCHECK_NO_SKIP set, if one was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"quantcheck/internal/fixture"
)

type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	output := map[string][]string{}
	counts := map[string]int{}
	var skips, soaks []string
	tied, less := 0, map[string]bool{} // for want of the folder of fixtures beside the project
	broken := false
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			output[key] = append(output[key], e.Output)
			if e.Action == "build-output" {
				fmt.Print(e.Output)
			}
		case "build-fail":
			broken = true
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action != "skip" {
					fmt.Printf("%-5s %s (%.1f s)\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
				}
				if e.Action == "fail" {
					broken = true
					fmt.Print(strings.Join(output[key], ""))
				}
				continue
			}
			counts[e.Action]++
			if e.Action == "fail" {
				fmt.Printf("--- FAIL %s %s\n%s", e.Package, e.Test, strings.Join(output[key], ""))
			}
			for _, line := range output[key] {
				if _, counted, ok := strings.Cut(line, ": soak: "); ok {
					soaks = append(soaks, strings.TrimSpace(counted))
				}
				if strings.Contains(line, fixture.LessBeside) {
					less[key] = true
				}
			}
			if e.Action == "skip" {
				if strings.Contains(strings.Join(output[key], ""), fixture.WantBeside) {
					tied++
					delete(output, key)
					continue
				}
				var reason []string
				for _, line := range output[key] {
					if !strings.HasPrefix(strings.TrimSpace(line), "===") && !strings.HasPrefix(strings.TrimSpace(line), "---") {
						reason = append(reason, strings.TrimSpace(line))
					}
				}
				skips = append(skips, fmt.Sprintf("SKIP %s %s: %s", e.Package, e.Test, strings.Join(reason, " ")))
			}
			delete(output, key)
		}
	}
	for _, s := range soaks {
		fmt.Println(s)
	}
	for _, s := range skips {
		fmt.Println(s)
	}
	if tied > 0 || len(less) > 0 {
		fmt.Printf("%d tests were skipped for want of the folder of fixtures beside the project (QUANTCHECK_FIXTURES), and %d looked at less\n", tied, len(less))
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	switch {
	case in.Err() != nil || broken || counts["fail"] > 0 || counts["pass"] == 0:
		os.Exit(1)
	case counts["skip"] > 0 && os.Getenv("QUANTCHECK_NO_SKIP") != "":
		fmt.Println("tests were skipped, which QUANTCHECK_NO_SKIP forbids")
		os.Exit(1)
	}
}
