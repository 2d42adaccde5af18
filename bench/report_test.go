package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exampleReport has a figure of each kind, three rounds of the first.
func exampleReport() *report {
	return &report{
		Date: "2026-11-22", CPUs: 4, Go: "go1.26", Versions: []string{"PostgreSQL 17.1"}, Options: "3 rounds",
		Contenders: []named{{direct, "the server itself"}, {pgbouncer, "session mode"}, {"pgveil", "a caller without restrictions"}},
		Foreign:    []float64{0.01, 0.03},
		Results: []*result{
			{Workload: "small/simple/8", Kind: throughput, Unit: "transactions", Samples: map[string][]sample{
				direct:    {{Rate: 1000}, {Rate: 3000}, {Rate: 2000}},
				pgbouncer: {{Rate: 800, CPU: 20}, {Rate: 1500, CPU: 20}, {Rate: 1000, CPU: 20}},
				"pgveil":  {{Rate: 750, CPU: 30}, {Rate: 2250, CPU: 28}, {Rate: 900, CPU: 26}},
			}},
			{Workload: "latency/prepared/8", Kind: latency, Samples: map[string][]sample{
				direct: {{P50: 100, P99: 200}}, pgbouncer: {{P50: 130, P99: 300}}, "pgveil": {{P50: 140, P99: 350}},
			}},
			{Workload: "idle/sessions", Kind: footprint, Samples: map[string][]sample{pgbouncer: {{KiB: 4}}, "pgveil": {{KiB: 12}}}},
		},
	}
}

func TestWriteText(t *testing.T) {
	var b strings.Builder
	if err := exampleReport().writeText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"other work took 2 % of the machine.",
		"small/simple/8  direct     1.00       2.00          -       -                 2000 transactions\n",
		"small/simple/8  pgbouncer  0.50       1.00          20.00   1.00              1000 transactions\n",
		"small/simple/8  pgveil     0.75       0.94          28.00   1.40              900 transactions\n",
		"latency/prepared/8  pgveil     140  350  40         150        1.50\n",
		"idle/sessions  pgveil     12.0  3.00\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

func TestWarnings(t *testing.T) {
	r := exampleReport()
	if text := strings.Join(r.lines(), "\n"); strings.Contains(text, "BUSY") || strings.Contains(text, "LEFT OUT") {
		t.Errorf("warns of nothing:\n%s", text)
	}
	r.Foreign, r.Absent = []float64{0.3, 0.1}, []string{"haproxy"}
	text := strings.Join(r.lines(), "\n")
	for _, want := range []string{"THE MACHINE WAS BUSY", "LEFT OUT: haproxy"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
}

// Without PgBouncer there is nothing to compare with, which is no zero.
func TestAbsentContender(t *testing.T) {
	r := exampleReport().Results[0]
	delete(r.Samples, pgbouncer)
	want := []string{"0.75", "-", "28.00", "-", "900 transactions"}
	if diff := cmp.Diff(want, r.cells("pgveil")); diff != "" {
		t.Error(diff)
	}
}

func TestPutFigures(t *testing.T) {
	doc := "# Benchmarks\n\n" + figuresBegin + "old\n" + figuresEnd + "after\n"
	got, err := putFigures(doc, exampleReport().markdown())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Benchmarks\n\n<!--", "| small/simple/8 | pgveil | 0.75 | 0.94 | 28.00 | 1.40 | 900 transactions |\n", figuresEnd + "after\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("the old figures are still there")
	}
	if again, err := putFigures(got, exampleReport().markdown()); err != nil || again != got {
		t.Errorf("a second time gives something else, %v", err)
	}
	if _, err := putFigures("no marks", "x"); err == nil {
		t.Error("a document without a place for figures is accepted")
	}
}
