package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pgveil/pgveil/config"
)

// healthTimeout is how long an answer may take. Whoever asks has a limit of
// their own, which should not be the one that is met first.
const healthTimeout = 5 * time.Second

// runHealth runs "pgveil health".
func runHealth(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("health", "",
		"Asks a running pgveil on this machine how it is, at the admin address that its\nconfiguration has. Exit status 0 means well. It is for images without a shell,\nwhere nothing else can ask.",
		"pgveil health --config /etc/pgveil/pgveil.yaml",
		"pgveil health --admin 127.0.0.1:9187 --ready")
	var path, admin string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve was started with")
	c.flags.StringVar(&admin, "admin", "", "the `address` to ask, instead of the file's")
	ready := c.flags.Bool("ready", false, "ask whether statements can be served, not only whether it runs")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if admin == "" {
		cfg, err := config.Load(path)
		if err != nil {
			return c.failed(stderr, err)
		}
		if cfg.Admin == "" {
			return c.failed(stderr, fmt.Errorf("%s has no admin address", path))
		}
		admin = cfg.Admin
	}
	url := "http://" + admin + "/healthz"
	if *ready {
		url = "http://" + admin + "/readyz"
	}
	answer, err := health(ctx, url)
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintln(stdout, answer)
	return 0
}

// health gives what pgveil says of itself; it is an error unless that is well.
func health(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// No proxy: the address is of this machine.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if err != nil {
		return "", err
	}
	answer := strings.TrimSpace(string(text))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, answer)
	}
	return answer, nil
}
