package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

const (
	anchorQueue   = 1000             // checkpoints that wait at most; the newer cover what the older do
	anchorTimeout = 10 * time.Second // of one POST
	anchorRest    = time.Minute      // between two tries at most
	anchorLast    = 5 * time.Second  // for what is left at the end
)

// anchors copy checkpoints to where whoever writes the log cannot change them.
// Nothing waits for them but the end of the process, for a moment.
type anchors struct {
	list []*anchor
	done sync.WaitGroup
	stop context.CancelFunc
}

// anchor is one such place. It has a goroutine, which sends in order and again
// until it is taken: at least once.
type anchor struct {
	anchorPlace
	log  *slog.Logger
	wake chan struct{} // holds one

	mu     sync.Mutex
	queue  []audit.Checkpoint
	told   uint64 // records under the newest checkpoint
	taken  uint64 // and under the last that was taken
	ending bool
}

func newAnchors(list []config.Anchor, log *slog.Logger) (*anchors, error) {
	places, err := anchorPlaces(list)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	all := &anchors{stop: stop}
	for _, p := range places {
		all.list = append(all.list, &anchor{anchorPlace: p, log: log, wake: make(chan struct{}, 1)})
	}
	for _, a := range all.list {
		all.done.Go(func() { a.run(ctx); a.end() })
	}
	return all, nil
}

func bearer(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := readSecret(path)
	return strings.TrimSpace(text), err
}

// add takes a new checkpoint for every anchor. It does not block.
func (all *anchors) add(c audit.Checkpoint) {
	for _, a := range all.list {
		a.add(c)
	}
}

// close gives what is left a moment, and then gives up.
func (all *anchors) close() {
	for _, a := range all.list {
		a.mu.Lock()
		a.ending = true
		a.mu.Unlock()
		a.rouse()
	}
	gone := make(chan struct{})
	go func() { all.done.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(anchorLast): // a file system that hangs keeps its goroutine
	}
	all.stop()
}

// lags are how far each anchor is behind.
func (all *anchors) lags() []prometheus.Collector {
	var list []prometheus.Collector
	for _, a := range all.list {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pgveil_audit_anchor_lag_records", ConstLabels: prometheus.Labels{"anchor": a.name},
			Help: "Records under the newest checkpoint that are not under one that the anchor has.",
		}, a.lag))
	}
	return list
}

func (a *anchor) lag() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return float64(a.told - a.taken)
}

func (a *anchor) add(c audit.Checkpoint) {
	a.mu.Lock()
	if len(a.queue) == anchorQueue {
		a.queue = a.queue[1:]
	}
	a.queue, a.told = append(a.queue, c), c.Size
	a.mu.Unlock()
	a.rouse()
}

func (a *anchor) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next gives the oldest checkpoint that was not taken, and whether there will
// be others.
func (a *anchor) next() (c audit.Checkpoint, some, ending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return c, false, a.ending
	}
	return a.queue[0], true, a.ending
}

// took drops what was taken, unless it was dropped for want of room meanwhile.
func (a *anchor) took(c audit.Checkpoint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = c.Size
	if len(a.queue) > 0 && a.queue[0].Size == c.Size {
		a.queue = a.queue[1:]
	}
}

func (a *anchor) end() {
	if err := a.close(); err != nil {
		a.log.Warn("closing an anchor", "anchor", a.name, "err", err)
	}
}

func (a *anchor) run(ctx context.Context) {
	rest := time.Second
	for {
		c, some, ending := a.next()
		var wait <-chan time.Time
		if some {
			err := a.send(ctx, c)
			if err == nil {
				a.took(c)
				rest = time.Second
				continue
			}
			a.log.Warn("a checkpoint of the access log was not copied; it is tried again", "anchor", a.name, "records", c.Size, "err", err)
			wait = time.After(rest)
			if rest = min(2*rest, anchorRest); ending {
				return
			}
		} else if ending {
			return
		}
		if !a.pause(ctx, wait) {
			return
		}
	}
}

// pause waits for the next try, or where there is none for the next checkpoint.
func (a *anchor) pause(ctx context.Context, retry <-chan time.Time) bool {
	for {
		select {
		case <-retry:
			return true
		case <-a.wake:
			if _, _, ending := a.next(); retry == nil || ending {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// poster posts checkpoints as they are; any 2xx means that it was taken.
func poster(url, token string) func(context.Context, audit.Checkpoint) error {
	client := &http.Client{
		Timeout:       anchorTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, c audit.Checkpoint) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(c.Note))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("the answer is %s", resp.Status)
		}
		return nil
	}
}
