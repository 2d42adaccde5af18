package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/sidedoor"
	"github.com/pgveil/pgveil/state"
)

// listedDoor is a connection as "pgveil doors" tells of it.
type listedDoor struct {
	State string `json:"state"` // open, new, allowed or over
	state.Door
}

// doorList is what "pgveil doors" finds.
type doorList struct {
	Doors   []listedDoor
	Unseen  int
	Proxies []string // that say which connections are theirs
}

// runDoors runs "pgveil doors".
func runDoors(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("doors", "",
		"Lists connections to the database that no process of pgveil says are its own: those\nthat are open now, and those that were seen lately. It looks as server.login, as\nthe watch of serve does, and needs side_doors in the configuration that serve runs\nwith: only then do processes say which connections are theirs.",
		"pgveil doors --config /etc/pgveil/pgveil.yaml",
		"pgveil doors --since 720h --json",
		"pgveil doors --check     for a monitor: status 1 while one is open")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	since := c.flags.Duration("since", 24*time.Hour, "`time` for which those that are over are listed")
	asJSON := c.flags.Bool("json", false, "print JSON")
	check := c.flags.Bool("check", false, "end with status 1 when one is open or cannot be seen")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	list, err := listDoors(ctx, path, *since)
	if err == nil && *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(list)
	} else if err == nil {
		err = list.print(stdout)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	if *check && list.open() {
		return 1
	}
	return 0
}

// listDoors looks at every host, and at what was found before.
func listDoors(ctx context.Context, path string, since time.Duration) (list doorList, err error) {
	cfg, err := config.Load(path)
	if err != nil {
		return list, err
	}
	if cfg.Doors == nil {
		return list, errors.New("the configuration has no side_doors: nobody says which connections are pgveil's")
	}
	allow, err := allowedDoors(cfg.Doors)
	if err != nil {
		return list, err
	}
	d, err := newDialer(cfg)
	if err != nil {
		return list, err
	}
	memory := newConnection(d.openBrief)
	defer func() { err = errors.Join(err, memory.close()) }()
	store := &state.Store{Use: memory.use}
	now := map[string]bool{}
	for i, h := range d.hosts {
		a, err := readHost(ctx, d, i, placeOf(h), memory)
		if err != nil {
			return list, err
		}
		list.Unseen += a.Unseen
		ours, _ := d.backends()
		proxies, err := store.Proxies(ctx)
		if err != nil {
			return list, err
		}
		list.Proxies = alive(proxies)
		unclaimed, open := sidedoor.Unclaimed(a.Doors, append(proxies, state.Proxy{Backends: ours}), allow)
		fresh, open := split(open, time.Now().Add(-3*cfg.Doors.Every))
		list.add(now, "new", fresh)
		list.add(now, "open", open)
		list.add(now, "allowed", unclaimed)
	}
	before, err := store.Doors(ctx, time.Now().Add(-since))
	list.add(now, "over", before)
	return list, err
}

// alive names the processes that serve.
func alive(proxies []state.Proxy) (names []string) {
	for _, p := range proxies {
		if p.Alive() {
			names = append(names, p.Name)
		}
	}
	return names
}

// split parts connections that began since a moment from the others: a process
// of pgveil may not have said yet that they are its own.
func split(all []state.Door, since time.Time) (fresh, others []state.Door) {
	for _, d := range all {
		if d.Began.After(since) {
			fresh = append(fresh, d)
		} else {
			others = append(others, d)
		}
	}
	return fresh, others
}

// readHost reads what one host lists.
func readHost(ctx context.Context, d *dialer, host int, name string, memory *connection) (a sidedoor.Activity, err error) {
	conn := newConnection(func(ctx context.Context) (*pgx.Conn, error) { return d.openAt(ctx, host) })
	err = conn.use(ctx, func(c *pgx.Conn) error {
		if err := memory.use(ctx, func(c *pgx.Conn) error { return d.say(ctx, c) }); err != nil {
			return err
		}
		a, err = sidedoor.Read(ctx, c, name, d.base.Database)
		return err
	})
	return a, errors.Join(err, conn.close())
}

// add lists connections that are not listed yet.
func (l *doorList) add(known map[string]bool, is string, doors []state.Door) {
	for _, d := range doors {
		id := fmt.Sprintf("%s %d %d", d.Host, d.PID, d.Began.UnixMicro())
		if !known[id] {
			known[id] = true
			l.Doors = append(l.Doors, listedDoor{is, d})
		}
	}
}

func (l *doorList) open() bool {
	for _, d := range l.Doors {
		if d.State == "open" {
			return true
		}
	}
	return l.Unseen > 0
}

func (l *doorList) print(stdout io.Writer) error {
	if len(l.Proxies) == 0 {
		fmt.Fprintln(stdout, "No process of pgveil says which connections are its own: those of all are listed.")
	}
	w := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tLOGIN\tFROM\tDATABASE\tAPPLICATION\tPID\tSINCE\tHOST")
	for _, d := range l.Doors {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%q\t%d\t%s\t%s\n", d.State, d.Login, d.Addr, d.Database, d.App, d.PID, d.Began.UTC().Format(time.DateTime), d.Host)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if l.Unseen > 0 {
		fmt.Fprintf(stdout, "Of %d more connections pgveil's login may not see where they come from: GRANT pg_read_all_stats to it.\n", l.Unseen)
	}
	return nil
}
