package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/report"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/state"
)

// packing is one call of "pgveil dsar export".
type packing struct {
	config, admin, out, org string
	by                      string // the column of the key; "" for the subject's own
	verify, identity        string
	age                     []string
	portable, json, quiet   bool
	request                 int64
	subject                 string
	key                     privacy.Key
	stdout, stderr          io.Writer
}

// runDsarExport runs "pgveil dsar export".
func runDsarExport(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar export", "KIND KEY",
		`Writes everything that is held on one data subject into a zip: as JSON, as CSV, as
a page to be read, and what they must be told beside: purposes, recipients, time
limits, rights. All of it is of one moment. The file is there when it is whole; it
is never written over another, and only its owner may read it.

With --portable it holds only what the subject provided and what is used under
their consent or a contract, for machines. With --verify it checks that a package is
as it was made.`,
		"pgveil dsar export customer 42 --config /etc/pgveil/pgveil.yaml --out ada.zip",
		"pgveil dsar export customer ada@example.com --by email --out ada.zip --organisation acme.yaml",
		"pgveil dsar export customer 42 --out ada.zip.age --age age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
		"pgveil dsar export --verify ada.zip")
	p := packing{stdout: stdout, stderr: stderr}
	p.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := p.misuse(c.args); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	act := p.run
	if p.verify != "" {
		act = p.check
	}
	if err := act(ctx); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (p *packing) flags(c *command) {
	c.flags.StringVar(&p.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&p.admin, "admin-url", "", "connection `string` of who may read every row of the subject; else server.login does it")
	c.flags.StringVar(&p.out, "out", "", "the `file` to write: a zip")
	c.flags.StringVar(&p.by, "by", "", "the `column` that KEY is of, one of find_by; else the subject's key")
	c.flags.StringVar(&p.org, "organisation", "", "`file` that says who the controller is, as for reports")
	c.flags.Int64Var(&p.request, "request", 0, "`number` of the request that this answers")
	c.flags.BoolVar(&p.portable, "portable", false, "only what the subject may take along (GDPR, Article 20)")
	c.flags.Func("age", "encrypt to this public `key` of age; may be given again", func(s string) error {
		p.age = append(p.age, s)
		return nil
	})
	c.flags.BoolVar(&p.json, "json", false, "print the manifest as JSON")
	c.flags.BoolVar(&p.quiet, "quiet", false, "say nothing of progress")
	c.flags.StringVar(&p.verify, "verify", "", "check this `file`, and write none")
	c.flags.StringVar(&p.identity, "identity", "", "with --verify: `file` of the secret key of age that opens it")
}

// misuse takes the arguments and says what makes no sense in the call.
func (p *packing) misuse(args []string) string {
	switch {
	case p.verify != "" && (len(args) > 0 || p.out != ""):
		return "--verify checks a file: it takes no subject, and writes none"
	case p.verify != "":
		return ""
	case p.identity != "":
		return "--identity goes with --verify"
	case len(args) < 2:
		return "name a kind of data subject and a key, as in dsar export customer 42"
	case p.out == "":
		return "give --out: the file to write"
	case p.request < 0:
		return "a request has a number above 0"
	}
	p.subject, p.key = args[0], privacy.Key{Column: p.by, Values: args[1:]}
	return ""
}

func (p *packing) run(ctx context.Context) (err error) {
	org, err := report.LoadOrganisation(p.org)
	if err != nil {
		return err
	}
	var to dsar.Encryption
	if len(p.age) > 0 {
		if to, err = dsar.NewEncryption(p.age); err != nil {
			return err
		}
	}
	r, err := openGoverned(p.config, p.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.process.close()) }()
	engine, err := r.process.loadEngine(ctx)
	if err != nil {
		return err
	}
	if err := r.process.openKeys(ctx); err != nil {
		return err
	}
	out, err := newOutFile(p.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.drop()) }()
	return r.process.catalog.use(ctx, func(conn *pgx.Conn) error {
		return p.export(ctx, r.process, conn, engine, org, to, out)
	})
}

// export writes the package between two records of it.
func (p *packing) export(ctx context.Context, with *process, conn *pgx.Conn, engine *rewrite.Engine, org report.Organisation, to dsar.Encryption, out *outFile) error {
	g, err := dsar.NewGraph(engine.Policy, engine.Catalog, p.subject)
	if err != nil {
		return err
	}
	cfg := with.cfg
	g.Values = with.values()
	begun, err := p.record(ctx, cfg, conn, g)
	if err != nil {
		return err
	}
	if err := recordPrivacy(ctx, cfg.Audit, &begun); err != nil {
		return err
	}
	o := dsar.PackageOptions{PreparedBy: operator(), Request: p.request, Portable: p.portable, Controller: controllerOf(org), Progress: p.progress()}
	if cfg.Audit.Table == nil {
		o.Seen = seenInFiles(cfg.Audit, conn)
	}
	m, err := p.pack(ctx, conn, g, o, to, out)
	p.settle()
	ended := begun
	ended.Subjects = nil // it is one export, and who saw the rows counts those
	ended.Message, ended.Rows = "done; manifest "+m.Digest, rowsOf(m)
	if err != nil {
		ended.Message, ended.Rows = "failed", 0
	}
	// Whoever is told to stop still says what became of it.
	if lerr := recordPrivacy(context.WithoutCancel(ctx), cfg.Audit, &ended); lerr != nil || err != nil {
		return errors.Join(err, lerr)
	}
	if err := out.publish(); err != nil {
		return err
	}
	return p.said(m)
}

// record is what the access log has of an export.
func (p *packing) record(ctx context.Context, cfg *config.Config, conn *pgx.Conn, g *dsar.Graph) (audit.Record, error) {
	cmd := privacy.Command{Verb: privacy.VerbExport, Subject: p.subject, Key: p.key}
	r := audit.Record{
		Kind: audit.KindPrivacy, User: operator(), Login: cfg.Server.Login, App: "pgveil dsar", Database: cfg.Database, Generation: g.Generation,
		Command: "PRIVACY", Shape: cmd.Shape(), Message: "begun",
	}
	if p.request > 0 {
		r.Ticket = fmt.Sprintf("request %d", p.request)
	}
	if !cfg.Audit.Subjects {
		return r, nil
	}
	key, err := g.KeyText(ctx, conn, p.key)
	if err != nil {
		return r, err
	}
	store := state.Store{Use: func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) }}
	tokens, err := store.SubjectTokens(ctx, p.subject, []string{key})
	if err == nil {
		r.Subjects = []string{p.subject + ":" + tokens[key]}
	}
	return r, err
}

// pack writes the package, encrypted where that is asked for.
func (p *packing) pack(ctx context.Context, conn *pgx.Conn, g *dsar.Graph, o dsar.PackageOptions, to dsar.Encryption, out io.Writer) (dsar.Manifest, error) {
	if len(p.age) == 0 {
		return dsar.Package(ctx, conn, g, p.key, o, out)
	}
	sealed, err := to.Writer(out)
	if err != nil {
		return dsar.Manifest{}, err
	}
	m, err := dsar.Package(ctx, conn, g, p.key, o, sealed)
	if err != nil {
		return dsar.Manifest{}, err
	}
	return m, sealed.Close()
}

// said says what was written.
func (p *packing) said(m dsar.Manifest) error {
	if !p.quiet && len(m.LookThrough) > 0 {
		fmt.Fprintf(p.stderr, "look through the rows of %s before this leaves the house: they name others as well\n", strings.Join(m.LookThrough, ", "))
	}
	if p.json {
		return printManifest(p.stdout, p.out, m)
	}
	_, err := fmt.Fprintf(p.stdout, "%s: %d rows in %d tables; SHA-256 of its manifest: %s\n", p.out, rowsOf(m), len(m.Counts), m.Digest)
	return err
}

func printManifest(w io.Writer, file string, m dsar.Manifest) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		File   string `json:"file"`
		Digest string `json:"manifest_sha256"`
		dsar.Manifest
	}{file, m.Digest, m})
}

func rowsOf(m dsar.Manifest) (n int64) {
	for _, rows := range m.Counts {
		n += rows
	}
	return n
}

// check checks a package.
func (p *packing) check(context.Context) error {
	f, err := os.Open(p.verify)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	m, err := p.checked(f, info.Size())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", p.verify, err)
	}
	if p.json {
		return printManifest(p.stdout, p.verify, m)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d files as they were made at %s; SHA-256 of its manifest: %s\n", p.verify, len(m.Files), m.GeneratedAt.Format(time.RFC3339), m.Digest)
	return err
}

func (p *packing) checked(f *os.File, size int64) (dsar.Manifest, error) {
	var in io.ReaderAt = f
	if dsar.Encrypted(f) {
		if p.identity == "" {
			return dsar.Manifest{}, errors.New("it is encrypted: give --identity, the file of the secret key")
		}
		keys, err := os.Open(p.identity)
		if err != nil {
			return dsar.Manifest{}, err
		}
		in, size, err = dsar.Decrypted(f, size, keys)
		if err := errors.Join(err, keys.Close()); err != nil {
			return dsar.Manifest{}, err
		}
	}
	return dsar.VerifyPackage(in, size)
}
