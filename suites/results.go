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

// passed tells whether any test did.
func (r results) passed() bool {
	for _, o := range r {
		if o.status == "ok" || o.status == "pass" {
			return true
		}
	}
	return false
}

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

// String lists the tests by name, each with how it ended.
func (r results) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&b, "%s  %s\n", name, r[name].status)
	}
	return b.String()
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

// verdict tells what differs, and whether all of it is listed.
func verdict(suite string, direct, through results, list known) (text string, same bool) {
	names := maps.Clone(direct)
	maps.Copy(names, through)
	alike, listed, unlisted := 0, 0, 0
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d, t := direct[name], through[name]
		reason, known := list[suite+"/"+name]
		switch {
		case d == t && known:
			alike++
			fmt.Fprintf(&b, "  %s: the same this time, though listed: %s\n", name, reason)
		case d == t:
			alike++
		case known:
			listed++
			fmt.Fprintf(&b, "  %s: differs as listed: %s\n", name, reason)
		default:
			unlisted++
			fmt.Fprintf(&b, "  %s: DIFFERS\n%s", name, differ(d, t))
		}
	}
	fmt.Fprintf(&b, "%-10s %d tests the same, %d differ as listed, %d differ\n", suite, alike, listed, unlisted)
	return b.String(), unlisted == 0
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
