package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const report15 = `pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: small.sql
scaling factor: 1
query mode: simple
number of clients: 8
number of threads: 2
maximum number of tries: 1
duration: 3 s
number of transactions actually processed: 60201
number of failed transactions: 0 (0.000%)
latency average = 0.398 ms
initial connection time = 17.318 ms
tps = 20084.541665 (without initial connection time)
`

func TestParsePgbench(t *testing.T) {
	for _, tt := range []struct {
		name, out string
		want      outcome
		err       string
	}{
		{"by time", report15, outcome{60201, 20084.541665}, ""},
		{"by transactions", strings.Replace(report15, "60201", "800/800", 1), outcome{800, 20084.541665}, ""},
		{"with reconnects", strings.Replace(report15, "(without initial connection time)", "(including reconnection times)", 1), outcome{60201, 20084.541665}, ""},
		{"before failures were counted", strings.Replace(report15, "number of failed transactions: 0 (0.000%)\n", "", 1), outcome{60201, 20084.541665}, ""},
		{"failed transactions", strings.Replace(report15, "failed transactions: 0", "failed transactions: 3", 1), outcome{}, "3 transactions failed"},
		{"aborted clients", report15 + "pgbench: error: Run was aborted; the above results are incomplete.\n", outcome{}, "aborted"},
		{"nothing done", strings.Replace(report15, "60201", "0", 1), outcome{}, "no transaction"},
		{"no rate", strings.Replace(report15, "tps", "xps", 1), outcome{}, "lacks"},
		{"nothing at all", "", outcome{}, "lacks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsePgbench(tt.out)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestLoadArgs(t *testing.T) {
	for _, tt := range []struct {
		name string
		l    load
		want string
	}{
		{"for a time", load{script: "s", mode: "simple", clients: 1, seconds: 3}, "-n -f s -M simple -c 1 -j 1 -T 3"},
		{"for a number", load{script: "s", mode: "prepared", clients: 8, seconds: 3, transactions: 9}, "-n -f s -M prepared -c 8 -j 2 -t 9"},
		{"logging in anew", load{script: "s", mode: "simple", clients: 8, seconds: 3, reconnect: true}, "-n -f s -M simple -c 8 -j 2 -T 3 -C"},
		{"at a rate", load{script: "s", mode: "simple", clients: 8, seconds: 3, rate: 1234.56, latencies: "p"}, "-n -f s -M simple -c 8 -j 2 -T 3 --rate 1234.6 -l --log-prefix p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(tt.l.args(), " "); got != tt.want {
				t.Errorf("args = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseLatencies(t *testing.T) {
	got, err := parseLatencies(strings.NewReader("0 1 412 0 1795300000 123456 17\n1 1 98 0 1795300000 123999\n"))
	if want := []float64{412, 98}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"0 1 412\n", "0 1 failed 0 1795300000 123456\n"} {
		if _, err := parseLatencies(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want [5]int // rounds, seconds, scale, rows, idle
	}{
		{"as they come", nil, [5]int{5, 10, 5, 2_000_000, 1000}},
		{"quick", []string{"--quick"}, [5]int{1, 2, 5, 400_000, 100}},
		{"quick, but", []string{"--quick", "--rounds", "3", "--rows=7"}, [5]int{3, 2, 5, 7, 100}},
		{"full", []string{"--full"}, [5]int{5, 10, 5, 2_000_000, 5000}},
		{"quick and full", []string{"--full", "--quick"}, [5]int{1, 2, 5, 400_000, 5000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseFlags(tt.args, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, [5]int{o.rounds, o.seconds, o.scale, o.rows, o.idle}); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range [][]string{{"--rounds", "0"}, {"--rows", "-1"}, {"--only", "("}, {"--among", "("}, {"--unix", "--tls"}, {"small"}} {
		if _, err := parseFlags(bad, t.Output()); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
