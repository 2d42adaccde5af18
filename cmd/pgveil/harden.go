package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/harden"
	"github.com/pgveil/pgveil/policy"
)

// hardening is one call of "pgveil harden".
type hardening struct {
	*registry
	config, admin, method   string
	apply, yes, check       bool
	json, hba               bool
	accept, known, logins   []string
	proxies                 []netip.Prefix
	site                    harden.Site
	stdin                   io.Reader
	stdout                  io.Writer
	found, accepted, fixing []harden.Finding
}

func runHarden(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("harden", "",
		"Inspects the server for ways around pgveil, and prints how each is closed, as a\nscript for psql that may be run again. With --apply it runs the statements, in one\ntransaction, and takes them back where a login that pgveil comes by could do less\nthan before. Lines for pg_hba.conf are printed and never written.",
		"pgveil harden --admin-url postgres://postgres@db.internal/crm --proxy 10.0.0.5",
		"pgveil harden --admin-url postgres://          the rest is from PGHOST, PGUSER and the like",
		"pgveil harden --hba --proxy 10.0.0.5 --proxy 10.0.0.6",
		"pgveil harden --check --accept connect-others:backup      for CI: status 1 when something is open")
	h := hardening{stdin: os.Stdin, stdout: stdout}
	h.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if h.apply && (h.check || h.json || h.hba) || h.yes && !h.apply {
		return c.misused(stderr, "--apply is for itself, and --yes goes with it")
	}
	open, err := h.run(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if open && h.check {
		return 1
	}
	return 0
}

func (h *hardening) flags(c *command) {
	c.flags.StringVar(&h.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&h.admin, "admin-url", "", "connection `string` of a superuser; else server.login looks, which sees less")
	c.flags.BoolVar(&h.apply, "apply", false, "run the statements, after asking")
	c.flags.BoolVar(&h.yes, "yes", false, "do not ask")
	c.flags.BoolVar(&h.check, "check", false, "end with status 1 when something is open")
	c.flags.BoolVar(&h.json, "json", false, "print findings as JSON")
	c.flags.BoolVar(&h.hba, "hba", false, "print the lines for pg_hba.conf alone")
	c.flags.StringVar(&h.method, "hba-method", "scram-sha-256", "`method` of those lines")
	several := func(into *[]string) func(string) error {
		return func(s string) error { *into = append(*into, s); return nil }
	}
	c.flags.Func("accept", "`check` or check:object that is as it should be; may be given again", several(&h.accept))
	c.flags.Func("known", "`login` that may go around pgveil, besides those of side_doors.allow; may be given again", several(&h.known))
	c.flags.Func("login", "`login` by which pgveil comes, besides the policy's users; may be given again", several(&h.logins))
	c.flags.Func("proxy", "`address` or network that pgveil comes from; may be given again (default: where the server sees this run of server.login)", func(s string) error {
		p, err := netip.ParsePrefix(s)
		if addr, addrErr := netip.ParseAddr(s); addrErr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		h.proxies = append(h.proxies, p)
		return err
	})
}

// run inspects, and does what is asked. It tells whether something is open.
func (h *hardening) run(ctx context.Context) (open bool, err error) {
	if h.registry, err = openGoverned(h.config, h.admin); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, h.process.close()) }()
	if err := h.describe(ctx); err != nil {
		return false, err
	}
	if h.hba {
		fmt.Fprint(h.stdout, harden.HBA(h.site, h.process.cfg.Database, h.method))
		return false, nil
	}
	if err := h.inspect(ctx); err != nil {
		return false, err
	}
	switch {
	case h.json:
		e := json.NewEncoder(h.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(map[string]any{"findings": h.found, "accepted": h.accepted})
	case h.apply:
		return false, h.close(ctx)
	default:
		err = h.print()
	}
	return slices.ContainsFunc(h.found, func(f harden.Finding) bool { return f.Severity == harden.Open }), err
}

// describe finds out who comes by pgveil, and from where.
func (h *hardening) describe(ctx context.Context) error {
	engine, err := h.process.loadEngine(ctx)
	if err != nil {
		return err
	}
	cfg := h.process.cfg
	h.site = harden.Site{Own: cfg.Server.Login, Logins: h.logins, Known: h.known, Proxies: h.proxies, TLS: cfg.Server.TLS != "disable"}
	for _, l := range cfg.Server.Logins {
		if l.As != config.Same && (slices.Contains(l.Databases, cfg.Database) || slices.Contains(l.Databases, config.All)) {
			h.site.Logins = append(h.site.Logins, l.As)
		}
	}
	for _, u := range engine.Policy.Users() {
		h.comes(u)
	}
	if cfg.Doors != nil {
		for _, a := range cfg.Doors.Allow {
			h.site.Known = append(h.site.Known, slices.DeleteFunc(slices.Clone(a.Users), func(u string) bool { return u == config.All })...)
		}
	}
	for _, host := range h.process.own.hosts {
		h.site.Unix = h.site.Unix || host.Socket() != ""
	}
	if len(h.proxies) == 0 && !h.site.Unix {
		return h.comesFrom(ctx)
	}
	return nil
}

// comes notes how a user of the policy comes to the server.
func (h *hardening) comes(u policy.User) {
	cfg := h.process.cfg
	i := slices.IndexFunc(cfg.Server.Logins, func(l config.ServerLogin) bool { return l.Fits(u.Name, cfg.Database) })
	switch {
	case i < 0 || cfg.Server.Logins[i].As == config.Same:
		h.site.Logins = append(h.site.Logins, u.Name)
	case cfg.Server.Logins[i].SetRole:
		h.site.Assumed = append(h.site.Assumed, u.Name)
	}
}

// comesFrom asks the server where it sees pgveil's own login come from.
func (h *hardening) comesFrom(ctx context.Context) error {
	conn, err := h.process.own.open(ctx)
	if err != nil {
		return fmt.Errorf("looking where pgveil comes from: %w; or give --proxy", err)
	}
	var at netip.Addr
	err = conn.QueryRow(ctx, "SELECT pg_catalog.inet_client_addr()").Scan(&at)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("looking where pgveil comes from: %w", err)
	}
	h.site.Proxies = []netip.Prefix{netip.PrefixFrom(at.Unmap(), at.Unmap().BitLen())}
	return nil
}

func (h *hardening) inspect(ctx context.Context) error {
	var all []harden.Finding
	err := h.process.catalog.use(ctx, func(c *pgx.Conn) (err error) { all, err = harden.Inspect(ctx, c, h.site); return err })
	if err != nil {
		return err
	}
	if h.process.cfg.Doors == nil {
		all = append(all, harden.Finding{ID: "nobody-watches", Severity: harden.Weak, Object: h.config, Says: "nobody looks for connections around pgveil",
			Hand: []string{"side_doors: {} in the configuration, and pgveil schema --apply"}})
	}
	for _, f := range all {
		switch {
		case f.Accepted(h.accept):
			h.accepted = append(h.accepted, f)
		default:
			h.found = append(h.found, f)
			if len(f.Fix) > 0 {
				h.fixing = append(h.fixing, f)
			}
		}
	}
	return nil
}

func (h *hardening) print() error {
	if err := harden.Script(h.stdout, h.found); err != nil {
		return err
	}
	if slices.ContainsFunc(h.found, func(f harden.Finding) bool { return strings.HasPrefix(f.ID, "hba") }) {
		fmt.Fprintf(h.stdout, "\n-- For pg_hba.conf, before all other lines; then SELECT pg_reload_conf():\n")
		for line := range strings.Lines(harden.HBA(h.site, h.process.cfg.Database, h.method)) {
			fmt.Fprint(h.stdout, "-- ", line)
		}
	}
	return nil
}

// close shows what it will do, asks, and does it.
func (h *hardening) close(ctx context.Context) error {
	if len(h.fixing) == 0 {
		fmt.Fprintln(h.stdout, "There is nothing that a statement closes.")
		return nil
	}
	if err := harden.Script(h.stdout, h.fixing); err != nil {
		return err
	}
	if !h.yes {
		fmt.Fprint(h.stdout, "\nRun this? [y/N] ")
		answer, err := bufio.NewReader(h.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !strings.EqualFold(strings.TrimSpace(answer), "y") {
			return errors.New("nothing was changed")
		}
	}
	return h.process.catalog.use(ctx, func(c *pgx.Conn) error {
		n, err := harden.Apply(ctx, c, h.site, h.fixing)
		if err == nil {
			fmt.Fprintf(h.stdout, "%d statements were run.\n", n)
		}
		return err
	})
}
