package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// load is what one run of pgbench does.
type load struct {
	script       string // a file
	mode         string // simple, extended or prepared
	clients      int
	seconds      int // or
	transactions int // of each client
	reconnect    bool
	rate         float64 // transactions a second altogether; 0 is as many as can be
	latencies    string  // prefix of files to log every transaction to
}

func (l load) args() []string {
	args := []string{"-n", "-f", l.script, "-M", l.mode, "-c", strconv.Itoa(l.clients), "-j", strconv.Itoa(min(2, l.clients))}
	if l.transactions > 0 {
		args = append(args, "-t", strconv.Itoa(l.transactions))
	} else {
		args = append(args, "-T", strconv.Itoa(l.seconds))
	}
	if l.reconnect {
		args = append(args, "-C")
	}
	if l.rate > 0 {
		args = append(args, "--rate", strconv.FormatFloat(l.rate, 'f', 1, 64))
	}
	if l.latencies != "" {
		args = append(args, "-l", "--log-prefix", l.latencies)
	}
	return args
}

// outcome is what pgbench says of a run.
type outcome struct {
	transactions int
	tps          float64 // without the time of the logins, unless every transaction has its own
}

// pgbench runs pgbench through a contender. Anything but a run in which every
// transaction succeeded is an error.
func (b *bench) pgbench(ctx context.Context, r *running, l load) (outcome, error) {
	cmd := exec.CommandContext(ctx, b.pgbenchPath, append(l.args(), database)...)
	cmd.Env = b.clientEnv(r)
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = stopTimeout
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return outcome{}, fmt.Errorf("pgbench through %s: %w\n%s%s", r.name, errors.Join(ctx.Err(), err), errs.String(), r.tail())
	}
	o, err := parsePgbench(out.String())
	if err != nil {
		return o, fmt.Errorf("pgbench through %s: %w\n%s%s", r.name, err, out.String(), errs.String())
	}
	return o, nil
}

// The lines of pgbench's report. With -C, the rate includes the connections.
var (
	processedLine = regexp.MustCompile(`(?m)^number of transactions actually processed: (\d+)`)
	failedLine    = regexp.MustCompile(`(?m)^number of failed transactions: (\d+)`)
	rateLine      = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \((without initial connection time|including reconnection times)\)`)
)

// parsePgbench reads the report of pgbench 14 to 18.
func parsePgbench(out string) (outcome, error) {
	if strings.Contains(out, "Run was aborted") {
		return outcome{}, errors.New("clients were aborted")
	}
	processed, rate := processedLine.FindStringSubmatch(out), rateLine.FindStringSubmatch(out)
	if processed == nil || rate == nil {
		return outcome{}, errors.New("its report lacks the transactions or the rate")
	}
	if failed := failedLine.FindStringSubmatch(out); failed != nil && failed[1] != "0" {
		return outcome{}, fmt.Errorf("%s transactions failed", failed[1])
	}
	n, err := strconv.Atoi(processed[1])
	if err != nil || n == 0 {
		return outcome{}, errors.New("no transaction was processed")
	}
	tps, err := strconv.ParseFloat(rate[1], 64)
	return outcome{transactions: n, tps: tps}, err
}

// timed runs a load, a short one before it to warm up, and gives the rate and
// what a transaction costs the contender. Both runs log in the same number of
// clients: in the difference of their processor times the logins cancel out.
func (b *bench) timed(ctx context.Context, r *running, l load) (sample, error) {
	warm := l
	warm.seconds, warm.transactions = 0, 100
	if l.reconnect {
		warm.transactions = 5
	}
	idle, err := r.cpu()
	if err != nil {
		return sample{}, err
	}
	before, err := b.pgbench(ctx, r, warm)
	if err != nil {
		return sample{}, err
	}
	warmed, err := r.cpu()
	if err != nil {
		return sample{}, err
	}
	o, err := b.pgbench(ctx, r, l)
	if err != nil {
		return sample{}, err
	}
	end, err := r.cpu()
	s := sample{Rate: o.tps}
	switch extra := o.transactions - before.transactions; {
	case l.reconnect:
		s.CPU = micros(end-warmed) / float64(o.transactions)
	case extra > 0:
		s.CPU = max(0, micros((end-warmed)-(warmed-idle))) / float64(extra)
	}
	return s, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// readLatencies gives the latencies in the files that pgbench logged to, in
// microseconds and sorted, and removes the files.
func readLatencies(prefix string) ([]float64, error) {
	names, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	var all []float64
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		latencies, err := parseLatencies(f)
		if err := errors.Join(err, f.Close(), os.Remove(name)); err != nil {
			return nil, fmt.Errorf("pgbench's log: %w", err)
		}
		all = append(all, latencies...)
	}
	slices.Sort(all)
	return all, nil
}

// parseLatencies reads pgbench's log of transactions: client, number, latency,
// and more. Under a rate the latency counts from when the transaction was due.
func parseLatencies(r io.Reader) ([]float64, error) {
	var latencies []float64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			return nil, fmt.Errorf("line %q has too few fields", lines.Text())
		}
		us, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		latencies = append(latencies, us)
	}
	return latencies, lines.Err()
}
