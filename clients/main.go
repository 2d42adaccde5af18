package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	pgveil := flag.String("pgveil", "bin/pgveil", "the binary under test")
	update := flag.Bool("update", false, "write what restricted logins see as what they should see")
	verbose := flag.Bool("v", false, "show what clients say on standard error")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, *pgveil, client{update: *update, verbose: *verbose}, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "clients: %v\n", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run runs the clients of the names, or all, each in the given way, and tells
// whether none failed.
func run(ctx context.Context, pgveil string, way client, names []string) (ok bool, err error) {
	list, err := find("clients", names)
	if err != nil {
		return false, err
	}
	s, err := newStage(ctx, pgveil)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Printf("%-16s %-14s %-14s %s\n", "client", "direct", "unrestricted", "restricted")
	ok = true
	for _, c := range list {
		c.update, c.verbose = way.update, way.verbose
		results := c.try(ctx, s)
		fmt.Printf("%-16s %-14s %-14s %s\n", c.name(), results[0], results[1], results[2])
		for _, r := range results {
			if r.failed() {
				ok = false
				fmt.Fprintf(os.Stderr, "\n%s: %v\n\n", c.name(), r.err)
			}
		}
	}
	return ok, ctx.Err()
}

// find gives the clients below the folder that have one of the names, in the
// order of their names. No name at all means every client.
func find(dir string, names []string) ([]client, error) {
	var all []client
	for _, pattern := range []string{"*/run", "*/*/run"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			all = append(all, client{dir: filepath.Dir(path)})
		}
	}
	slices.SortFunc(all, func(a, b client) int { return strings.Compare(a.name(), b.name()) })
	if len(names) == 0 {
		return all, nil
	}
	var list []client
	for _, name := range names {
		i := slices.IndexFunc(all, func(c client) bool { return c.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no client %q", name)
		}
		list = append(list, all[i])
	}
	return list, nil
}
