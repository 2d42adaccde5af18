package twins

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// Tally counts what became of statements. Its copies count together.
type Tally struct {
	Kinds    map[string]*Count
	Refusals map[string]int            // by message, without names
	Errors   map[string]int            // by SQLSTATE
	Found    map[string]map[string]int // what, and of which kind
}

// Count is of one kind of statement.
type Count struct{ Made, Refused, Internal, Failed, Fine, TimedOut, Differ int }

func (c *Count) add(d *Count) {
	c.Made += d.Made
	c.Refused += d.Refused
	c.Internal += d.Internal
	c.Failed += d.Failed
	c.Fine += d.Fine
	c.TimedOut += d.TimedOut
	c.Differ += d.Differ
}

// NewTally makes an empty tally.
func NewTally() Tally {
	return Tally{Kinds: map[string]*Count{}, Refusals: map[string]int{}, Errors: map[string]int{}, Found: map[string]map[string]int{}}
}

// Total is the sum of all kinds.
func (t Tally) Total() Count {
	var total Count
	for _, c := range t.Kinds {
		total.add(c)
	}
	return total
}

// Findings counts what was found of a sort: leak, order, internal, rejected, misread.
func (t Tally) Findings(what string) int { return len(t.Found[what]) }

func (t Tally) of(kind string) *Count {
	if t.Kinds[kind] == nil {
		t.Kinds[kind] = &Count{}
	}
	return t.Kinds[kind]
}

func (t Tally) known(what, key string) bool { return t.Found[what][key] > 0 }

func (t Tally) note(what, key string) {
	if t.Found[what] == nil {
		t.Found[what] = map[string]int{}
	}
	t.Found[what][key] = 1
}

// quoted are the parts of a message that differ from statement to statement.
var quoted = regexp.MustCompile(`"[^"]*"|\b[a-z_]+\.[a-zA-Z_.]+\b|\b[a-z]\d+\b|column [^ ]+|[0-9]+`)

// class gives an error without names.
func class(code, message string) string {
	return code + " " + quoted.ReplaceAllString(message, "…")
}

// Print writes the figures.
func (t Tally) Print(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "kind\tmade\trefused\tinternal error\tran\tof these failed\ttimed out\tdiffer\t")
	line := func(kind string, c *Count) {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", kind, c.Made, c.Refused, c.Internal, c.Fine+c.Failed, c.Failed, c.TimedOut, c.Differ)
	}
	for _, kind := range slices.Sorted(maps.Keys(t.Kinds)) {
		line(kind, t.Kinds[kind])
	}
	total := t.Total()
	line("all", &total)
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nrefused:\n%s\nfailed, by SQLSTATE:\n%s", frequent(t.Refusals), frequent(t.Errors))
	for _, what := range slices.Sorted(maps.Keys(t.Found)) {
		fmt.Fprintf(w, "\n%s: %d kinds\n", what, len(t.Found[what]))
	}
	return err
}

// frequent lists counts, the highest first.
func frequent(counts map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%7d  %s\n", counts[k], k)
	}
	return b.String()
}
