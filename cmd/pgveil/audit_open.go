package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/rewrite"
)

// sealing readies what seals the contents of statements, as configured.
func (p *process) sealing() (proxy.Sealing, error) {
	c := p.cfg.Audit.Sealed
	if c == nil {
		return proxy.Sealing{}, nil
	}
	var err error
	if p.sealer, err = newSealer(p.cfg.Audit); err != nil {
		return proxy.Sealing{}, err
	}
	return proxy.Sealing{By: p.sealer, Text: slices.Contains(c.What, "text"), Parameters: slices.Contains(c.What, "parameters")}, nil
}

// keepImages makes an engine have images of rows taken, as configured.
func keepImages(e *rewrite.Engine, a config.Audit) error {
	if a.Sealed == nil {
		return nil
	}
	if err := e.KeepImages(a.Sealed.Images); err != nil {
		return fmt.Errorf("audit.sealed.images: %w", err)
	}
	return nil
}

func newSealer(a config.Audit) (*audit.Sealer, error) {
	key, err := readKey(a.Sealed.Key)
	if err != nil {
		return nil, fmt.Errorf("audit.sealed: %w", err)
	}
	return audit.NewSealer(a.Sealed.Keys, a.Origin, key)
}

// sealedEvery is how often keys that are too old are looked for.
const sealedEvery = 10 * time.Minute

// destroySealed destroys the keys of sealed contents that nobody may read any
// more, unless there is a hold.
func (p *process) destroySealed(ctx context.Context) {
	a := p.cfg.Audit
	if p.sealer == nil || a.Sealed.Keep == 0 || a.Hold {
		return
	}
	tick := time.NewTicker(sealedEvery)
	defer tick.Stop()
	for {
		if err := p.destroySealedNow(); err != nil {
			p.retained(err, "old keys of sealed contents")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *process) destroySealedNow() error {
	if _, err := os.Stat(filepath.Join(p.cfg.Audit.Dir, holdName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	gone, err := p.sealer.Destroy(p.audit.SureTime().Add(-time.Duration(p.cfg.Audit.Sealed.Keep)))
	for _, name := range gone {
		p.log.Info("a key of sealed contents was destroyed", "key", name)
		_, lerr := p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: "what " + name + " sealed can be opened no more: the key is destroyed"})
		err = errors.Join(err, lerr)
	}
	return err
}

const auditOpenHelp = `Usage: pgveil audit open SEQ --config FILE [--dir DIR] [--keys DIR] [--json]

Shows the text and the parameters of the statement of record SEQ, and the rows
that it changed as they were and as they became: what of these the log holds
sealed, where audit.sealed says so. It takes the keys: the folder and the
file that audit.sealed names, of which --keys is another folder, a copy of it.
Whoever reads them sees what was in the statement in clear.

  pgveil audit open 1042 --config /etc/pgveil/pgveil.yaml
`

// runAuditOpen runs "pgveil audit open".
func runAuditOpen(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("open", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	path := f.String("config", "/etc/pgveil/pgveil.yaml", "")
	dir := f.String("dir", "", "")
	keys := f.String("keys", "", "")
	asJSON := f.Bool("json", false, "")
	words, err := mixed(f, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, auditOpenHelp)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil audit open: %v\n", err)
		return 2
	}
	if len(words) != 1 {
		fmt.Fprint(stderr, auditOpenHelp)
		return 2
	}
	cfg, err := config.Load(*path)
	if err == nil && cfg.Audit.Sealed == nil {
		err = fmt.Errorf("%s has no audit.sealed, which names the keys", *path)
	}
	if err == nil {
		if *dir != "" {
			cfg.Audit.Dir = *dir
		}
		if *keys != "" {
			cfg.Audit.Sealed.Keys = *keys
		}
		err = openContents(cfg.Audit, words[0], *asJSON, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil audit open: %v\n", err)
		return 1
	}
	return 0
}

func openContents(a config.Audit, word string, asJSON bool, stdout io.Writer) error {
	seq, err := strconv.ParseUint(word, 10, 63)
	if err != nil {
		return fmt.Errorf("%q is not the seq of a record", word)
	}
	s, err := newSealer(a)
	if err != nil {
		return err
	}
	for r, err := range audit.Read(a.Dir, seq) {
		if err != nil {
			return err
		}
		if r.Seq != seq {
			return fmt.Errorf("there is no record %d any more", seq)
		}
		o, err := openAll(s, a.Dir, &r)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(stdout).Encode(o)
		}
		if r.Sealed != "" {
			err = printContents(stdout, o.Contents)
		}
		return errors.Join(err, printImages(stdout, o.Changed))
	}
	return fmt.Errorf("there is no record %d yet", seq)
}

// openAll opens what the log holds sealed of a statement or of a PRIVACY command:
// contents, images or both.
func openAll(s *audit.Sealer, dir string, r *audit.Record) (o opened, err error) {
	if r.Kind == audit.KindStatement || r.Kind == audit.KindPrivacy {
		if o.Changed, err = openImages(s, dir, r.Seq); err != nil {
			return o, err
		}
	}
	if r.Sealed != "" || len(o.Changed) == 0 {
		o.Contents, err = s.Open(r)
	}
	return o, err
}

// printContents shows contents so that a terminal shows them, too: what would
// move its cursor is escaped.
func printContents(w io.Writer, c audit.Contents) error {
	_, err := fmt.Fprintf(w, "%s%s\n", shown(string(c.Text)), more(c.TextSize-len(c.Text), "bytes"))
	for i, p := range c.Parameters {
		value := shown(string(p.Value))
		switch {
		case p.Null:
			value = "NULL"
		case p.Binary:
			value = `\x` + hex.EncodeToString(p.Value)
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "$%d = %s%s\n", i+1, value, more(p.Size-len(p.Value), "bytes"))
		}
	}
	if left := c.Count - len(c.Parameters); err == nil && left > 0 {
		_, err = fmt.Fprintf(w, "…%s\n", more(left, "parameters"))
	}
	return err
}

func more(n int, of string) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %s more)", n, of)
}

func shown(s string) string {
	if !utf8.ValidString(s) {
		return strconv.QuoteToASCII(s)
	}
	quoted := []rune(nil)
	for _, r := range s {
		if r == '\n' || r == '\t' || strconv.IsPrint(r) {
			quoted = append(quoted, r)
			continue
		}
		quoted = append(quoted, []rune(strconv.QuoteRune(r))...)
	}
	return string(quoted)
}
