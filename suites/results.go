package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// outcome is what a test came to: how it ended, in the words of its suite, and
// what it printed, where the suite keeps that. Two outcomes are the same when
// both are.
type outcome struct{ status, output string }

// results are the outcomes of a run by the names of the tests.
type results map[string]outcome

// tally counts the outcomes: "215 ok, 2 FAILED".
func (r results) tally() string {
	counts := map[string]int{}
	for _, o := range r {
		counts[o.status]++
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[status], status))
	}
	return strings.Join(parts, ", ")
}

// known are the differences that are no faults, or not yet mended ones: the
// reason by suite/test.
type known map[string]string

// parseKnown reads lines of a name, blanks and a reason. A line that starts
// with # is a comment.
func parseKnown(text string) (known, error) {
	k := known{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, _ := strings.Cut(line, " ")
		if reason = strings.TrimSpace(reason); reason == "" {
			return nil, fmt.Errorf("differences.txt: %s has no reason", name)
		}
		if _, ok := k[name]; ok {
			return nil, fmt.Errorf("differences.txt: %s is listed twice", name)
		}
		k[name] = reason
	}
	return k, nil
}

// report prints what differs and tells whether all of it is listed.
func (r *runner) report(suite string, direct, through results) bool {
	names := maps.Clone(direct)
	maps.Copy(names, through)
	same, listed, unlisted := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d, t := direct[name], through[name]
		reason := r.known[suite+"/"+name]
		switch {
		case d == t:
			same++
			if r.verbose {
				fmt.Printf("  %-50s %s\n", name, d.status)
			}
			if reason != "" {
				fmt.Printf("  %s: the same this time, though listed: %s\n", name, reason)
			}
		case reason != "":
			listed++
			fmt.Printf("  %s: differs as listed: %s\n", name, reason)
		default:
			unlisted++
			fmt.Printf("  %s: DIFFERS\n%s", name, differ(d, t))
		}
	}
	fmt.Printf("%-10s %d tests the same, %d differ as listed, %d differ\n", suite, same, listed, unlisted)
	return unlisted == 0
}

// differ shows how two outcomes differ: by status, and by the first line that
// is not the same.
func differ(direct, through outcome) string {
	var b strings.Builder
	if direct.status != through.status {
		fmt.Fprintf(&b, "    direct: %s\n    pgveil: %s\n", direct.state(), through.state())
	}
	d, t := strings.Split(direct.output, "\n"), strings.Split(through.output, "\n")
	for i := range max(len(d), len(t)) {
		if x, y := line(d, i), line(t, i); x != y {
			fmt.Fprintf(&b, "    line %d, direct: %s\n    line %d, pgveil: %s\n", i+1, x, i+1, y)
			break
		}
	}
	return b.String()
}

func (o outcome) state() string {
	if o.status == "" {
		return "(not run)"
	}
	return o.status
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no more lines)"
}
