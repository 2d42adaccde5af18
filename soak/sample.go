package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what pgveil takes up at one time, by measure.
type sample [len(measures)]float64

// measure is one thing that must not grow.
type measure struct {
	name, unit string
	scale      float64 // of one unit
	slack      float64 // growth, in units, that is none
}

var measures = [...]measure{
	{"memory", "MB", 1 << 20, 8},
	{"heap", "MB", 1 << 20, 6},
	{"goroutines", "", 1, 6},
	{"files", "", 1, 6},
}

// tolerance is the growth of a median, relative to itself, that is none.
const tolerance = 0.05

// watch samples until the context ends, and tells how it goes.
func (s *stage) watch(ctx context.Context, length time.Duration, l *load) (all []sample, err error) {
	every := min(max(length/500, 200*time.Millisecond), 5*time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	told, began := time.Time{}, time.Now()
	for {
		v, err := s.sample()
		if err != nil {
			return all, err
		}
		all = append(all, v)
		if time.Since(told) > length/30 {
			told = time.Now()
			fmt.Printf("%6.0f s  %s  %s\n", time.Since(began).Seconds(), v, l)
		}
		select {
		case <-ctx.Done():
			return all, nil
		case <-tick.C:
		}
	}
}

func (v sample) String() string {
	var b strings.Builder
	for i, m := range measures {
		fmt.Fprintf(&b, "%s %5.1f %s  ", m.name, v[i]/m.scale, m.unit)
	}
	return b.String()
}

// sample asks the process and the system.
func (s *stage) sample() (v sample, err error) {
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return v, err
	}
	kb, err := value(string(status), "RssAnon:")
	if err != nil {
		return v, err
	}
	metrics, err := s.metrics()
	if err != nil {
		return v, err
	}
	heap, err := value(metrics, "go_memstats_heap_alloc_bytes")
	if err != nil {
		return v, err
	}
	goroutines, err := value(metrics, "go_goroutines")
	if err != nil {
		return v, err
	}
	files, err := os.ReadDir(proc + "fd")
	return sample{kb * 1024, heap, goroutines, float64(len(files))}, err
}

func (s *stage) metrics() (string, error) {
	answer, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	return string(text), errors.Join(err, answer.Body.Close())
}

// value reads a number behind a word that begins a line.
func value(text, word string) (float64, error) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == word {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("there is no %s", word)
}

// judge compares the last quarter with the second.
func judge(w io.Writer, all []sample) error {
	quarter := len(all) / 4
	if quarter < 5 {
		return fmt.Errorf("%d samples are too few to judge", len(all))
	}
	var errs []error
	for i, m := range measures {
		second, last := median(all[quarter:2*quarter], i)/m.scale, median(all[3*quarter:], i)/m.scale
		verdict := "constant"
		if last > second*(1+tolerance)+m.slack {
			verdict = "GROWS"
			errs = append(errs, fmt.Errorf("%s grows: from %.1f to %.1f %s", m.name, second, last, m.unit))
		}
		fmt.Fprintf(w, "%-10s  second quarter %8.1f %-2s  last quarter %8.1f %-2s  %s\n", m.name, second, m.unit, last, m.unit, verdict)
	}
	return errors.Join(errs...)
}

func median(all []sample, i int) float64 {
	values := make([]float64, len(all))
	for n, v := range all {
		values[n] = v[i]
	}
	slices.Sort(values)
	return values[len(values)/2]
}
