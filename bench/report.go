package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is everything that a run found.
type report struct {
	Date       string    `json:"date"`
	CPUs       int       `json:"cpus"`
	Go         string    `json:"go"`
	Versions   []string  `json:"versions"`
	Options    string    `json:"options"`
	Contenders []named   `json:"contenders"`
	Absent     []string  `json:"absent,omitempty"` // contenders that are not installed
	Foreign    []float64 `json:"foreign_load"`     // share of the machine that others used, before each workload
	Seconds    float64   `json:"seconds"`
	Results    []*result `json:"results"`
}

type named struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// result is what one workload gave, by contender and round.
type result struct {
	Workload string              `json:"workload"`
	Kind     kind                `json:"kind"`
	Unit     string              `json:"unit,omitempty"`
	Samples  map[string][]sample `json:"samples"`
}

// busyMachine is the share of the machine in others' hands from which figures
// are not to be trusted.
const busyMachine = 0.10

// busy tells how much others used on average, and whether that is too much.
func (r *report) busy() (mean float64, tooMuch bool) {
	if len(r.Foreign) == 0 {
		return 0, false
	}
	for _, f := range r.Foreign {
		mean += f / float64(len(r.Foreign))
	}
	return mean, mean > busyMachine
}

// describe says in one line how a run was set.
func (o *options) describe() string {
	s := fmt.Sprintf("%d rounds of %d s, scale %d, %d rows, %d idle sessions, ", o.rounds, o.seconds, o.scale, o.rows, o.idle)
	switch {
	case o.tls:
		return s + "TLS"
	case o.unix:
		return s + "the server by its unix socket"
	default:
		return s + "TLS where it is said"
	}
}

// table is one table of the report: text and Markdown are drawn from it.
type table struct {
	title string
	notes string
	head  []string
	rows  [][]string // an empty row parts workloads
}

// column takes one figure out of every sample of a contender.
func (r *result) column(contender string, of func(sample) float64) []float64 {
	var values []float64
	for _, s := range r.Samples[contender] {
		values = append(values, of(s))
	}
	return values
}

func rateOf(s sample) float64 { return s.Rate }
func cpuOf(s sample) float64  { return s.CPU }
func p50Of(s sample) float64  { return s.P50 }
func p99Of(s sample) float64  { return s.P99 }
func kibOf(s sample) float64  { return s.KiB }

// added gives what a contender adds to the latency of the server alone, round
// by round.
func (r *result) added(contender string, of func(sample) float64) []float64 {
	values, base := r.column(contender, of), r.column(direct, of)
	for i := range values {
		values[i] -= base[i]
	}
	return values
}

// cells gives a contender's line, without the names.
func (r *result) cells(contender string) []string {
	switch r.Kind {
	case throughput:
		rate := r.column(contender, rateOf)
		cpu := r.column(contender, cpuOf)
		return []string{
			figure(medianRatio(rate, r.column(direct, rateOf)), 2), figure(medianRatio(rate, r.column(pgbouncer, rateOf)), 2),
			onlyProxies(contender, figure(median(cpu), 2)), onlyProxies(contender, figure(medianRatio(cpu, r.column(pgbouncer, cpuOf)), 2)),
			figure(median(rate), 0) + " " + r.Unit,
		}
	case sealedColumns:
		twin := cmp.Or(sealedTwins[contender], contender)
		rate, cpu := r.column(contender, rateOf), r.column(contender, cpuOf)
		return []string{
			figure(medianRatio(rate, r.column(twin, rateOf)), 2), figure(median(cpu), 2), figure(medianRatio(cpu, r.column(twin, cpuOf)), 2),
			figure(1e6/median(cpu), 0), figure(median(rate), 0) + " " + r.Unit,
		}
	case latency:
		return []string{
			figure(median(r.column(contender, p50Of)), 0), figure(median(r.column(contender, p99Of)), 0),
			onlyProxies(contender, figure(median(r.added(contender, p50Of)), 0)), onlyProxies(contender, figure(median(r.added(contender, p99Of)), 0)),
			onlyProxies(contender, figure(medianRatio(r.added(contender, p99Of), r.added(pgbouncer, p99Of)), 2)),
		}
	case audited:
		rate, cpu := r.column(contender, rateOf), r.column(contender, cpuOf)
		return []string{
			figure(medianRatio(rate, r.column("restricted", rateOf)), 2), onlyProxies(contender, figure(median(cpu), 1)),
			figure(median(r.column(contender, p50Of))/1000, 1), figure(median(r.column(contender, p99Of))/1000, 1),
			figure(median(rate), 0) + " " + r.Unit,
		}
	case footprint:
		kib := r.column(contender, kibOf)
		return []string{figure(median(kib), 1), figure(medianRatio(kib, r.column(pgbouncer, kibOf)), 2)}
	default:
		return nil
	}
}

// onlyProxies blanks what does not make sense of the server itself.
func onlyProxies(contender, cell string) string {
	if contender == direct {
		return "-"
	}
	return cell
}

// figure writes a number; one that there is not, as a dash.
func figure(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// brief is a sample in a line of progress.
func (k kind) brief(s sample) string {
	switch k {
	case throughput, audited, sealedColumns:
		return figure(s.Rate, 0) + "/s"
	case latency:
		return figure(s.P99, 0) + "µs"
	case footprint:
		return figure(s.KiB, 1) + "KiB"
	default:
		return "?"
	}
}

// tables gives the report's tables, those without rows left out.
func (r *report) tables() []table {
	all := []table{
		r.table(throughput, "Throughput", "Rates are this machine's and mean nothing elsewhere: compare ratios. CPU is the contender's own process, in µs for each transaction, connection or row.",
			"of direct", "of pgbouncer", "CPU µs", "CPU of pgbouncer", "rate a second (here only)"),
		r.table(sealedColumns, "Sealed columns", "Beside the same statements on a table in the clear, through pgveil: values (transactions, rows) a second and processor time of pgveil's own process. The last columns are this machine's.",
			"rate of clear", "CPU µs", "CPU of clear", "a second of one core", "rate a second (here only)"),
		r.table(latency, "Latency at a fixed rate", "In µs, at half of what the slowest contender reaches; added is what lies above the server alone.",
			"p50", "p99", "added p50", "added p99", "added p99 of pgbouncer"),
		r.table(audited, "Statements that the access log must hold", "64 sessions, as many as can be; latencies in ms. Only intent waits until each record is on the disk.",
			"of restricted", "CPU µs", "p50 ms", "p99 ms", "rate a second (here only)"),
		r.table(footprint, "Memory of an idle session", "Growth of the process, divided by the sessions.",
			"KiB", "of pgbouncer"),
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.rows) == 0 })
}

func (r *report) table(k kind, title, notes string, head ...string) table {
	t := table{title: title, notes: notes, head: append([]string{"workload", "contender"}, head...)}
	for _, res := range r.Results {
		if res.Kind != k {
			continue
		}
		if len(t.rows) > 0 {
			t.rows = append(t.rows, nil)
		}
		for _, c := range r.Contenders {
			if len(res.Samples[c.Name]) > 0 {
				t.rows = append(t.rows, append([]string{res.Workload, c.Name}, res.cells(c.Name)...))
			}
		}
	}
	return t
}

// lines gives what must be known to read the tables.
func (r *report) lines() []string {
	mean, tooMuch := r.busy()
	lines := []string{
		fmt.Sprintf("%s, %d CPUs, %s; %s; %s.", r.Date, r.CPUs, r.Go, strings.Join(r.Versions, ", "), r.Options),
		fmt.Sprintf("Medians over the rounds; other work took %.0f %% of the machine.", 100*mean),
	}
	if tooMuch {
		lines = append(lines, "THE MACHINE WAS BUSY WITH OTHER WORK: these figures are rough, and not to be quoted.")
	}
	if len(r.Absent) > 0 {
		lines = append(lines, "NOT INSTALLED AND LEFT OUT: "+strings.Join(r.Absent, ", ")+".")
	}
	for _, c := range r.Contenders {
		lines = append(lines, c.Name+": "+c.About+".")
	}
	return lines
}

// writeText writes the report for a terminal.
func (r *report) writeText(w io.Writer) error {
	fmt.Fprintln(w, strings.Join(r.lines(), "\n"))
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n%s\n%s\n\n", t.title, t.notes)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.head}, t.rows...) {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// markdown gives the report as it stands in the documentation.
func (r *report) markdown() string {
	var b strings.Builder
	for _, line := range r.lines() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| %s |\n|%s\n", t.title, t.notes, strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			if row != nil {
				fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			}
		}
	}
	return b.String()
}

// The marks between which a document keeps the figures.
const (
	figuresBegin = "<!-- figures: written by go run ./bench --markdown -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// putFigures replaces what stands between the marks.
func putFigures(doc, figures string) (string, error) {
	before, rest, ok := strings.Cut(doc, figuresBegin)
	_, after, okEnd := strings.Cut(rest, figuresEnd)
	if !ok || !okEnd {
		return "", fmt.Errorf("no place for figures: the lines %q and %q are needed", figuresBegin, figuresEnd)
	}
	return before + figuresBegin + "\n" + figures + "\n" + figuresEnd + after, nil
}

// deliver writes the report to wherever the flags say.
func (r *report) deliver(o *options, stdout io.Writer) error {
	if err := r.writeText(stdout); err != nil {
		return err
	}
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.markdown == "" {
		return nil
	}
	doc, err := os.ReadFile(o.markdown)
	if err != nil {
		return err
	}
	text, err := putFigures(string(doc), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", o.markdown, err)
	}
	return os.WriteFile(o.markdown, []byte(text), 0o644)
}
