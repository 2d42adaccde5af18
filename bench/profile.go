package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// profiled runs a workload through a contender and, when the run is to give a
// profile and the contender is pgveil, has it tell meanwhile what it uses
// processors for.
func (b *bench) profiled(ctx context.Context, r *running, run func(context.Context, *running) (sample, error)) (sample, error) {
	if b.o.profile == "" || r.process == nil || r.program != "" {
		return run(ctx, r)
	}
	path := filepath.Join(b.dir, fmt.Sprintf("profile-%d", len(b.profiles)))
	b.profiles = append(b.profiles, path)
	done := make(chan error, 1)
	go func() { done <- r.profile(ctx, b.o.seconds, path) }()
	s, err := run(ctx, r)
	return s, errors.Join(err, <-done)
}

// profile writes a profile of some seconds to a file.
func (r *running) profile(ctx context.Context, seconds int, path string) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", r.admin, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile of %s: %w", r.name, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("profile of %s: %w", r.name, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile of %s: %s: %s", r.name, answer.Status, strings.TrimSpace(string(text)))
	}
	return os.WriteFile(path, text, 0o644)
}

// mergeProfiles makes one of all profiles.
func (b *bench) mergeProfiles(ctx context.Context) error {
	if b.o.profile == "" {
		return nil
	}
	if len(b.profiles) == 0 {
		return errors.New("no profile: pgveil did not contend")
	}
	args := append([]string{"tool", "pprof", "-proto", "-output=" + b.o.profile}, b.profiles...)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("merge profiles: %w\n%s", err, out)
	}
	return nil
}
