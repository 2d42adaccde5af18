package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// reportOutput says where a report goes, and in which form.
type reportOutput struct {
	format, out string
	forms       []string
}

func (o *reportOutput) flags(c *command, forms ...string) {
	o.forms = forms
	c.flags.StringVar(&o.format, "format", "", "`form` of the report: "+strings.Join(forms, ", ")+" (default by the name of --out, or markdown)")
	c.flags.StringVar(&o.out, "out", "", "write a new `file`; in a directory that exists, one of each form (default: to standard output)")
}

// extensions are those of the forms of a report.
var extensions = map[string]string{"markdown": ".md", "html": ".html", "json": ".json", "csv": ".csv", "yaml": ".yaml"}

// misuse says what makes no sense in the flags; "" when nothing does.
func (o *reportOutput) misuse() string {
	if o.format == "" && o.out != "" && !isDir(o.out) {
		for _, form := range o.forms {
			if filepath.Ext(o.out) == extensions[form] {
				o.format = form
			}
		}
		if o.format == "" {
			return fmt.Sprintf("--out %s does not tell the form by its name; give --format", o.out)
		}
	}
	if o.format != "" && !slices.Contains(o.forms, o.format) {
		return fmt.Sprintf("--format is one of %s, not %q", strings.Join(o.forms, ", "), o.format)
	}
	return ""
}

// reportForms gives how a report is written in each form.
func reportForms(model any, doc *report.Document) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"markdown": doc.Markdown,
		"html":     doc.HTML,
		"json": func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(model)
		},
	}
}

// write writes a report: to a file or standard output in one form, into a
// directory in all. What it holds is for few to read, and a file that exists may
// be somebody's evidence: it is left alone.
func (o *reportOutput) write(name string, forms map[string]func(io.Writer) error, stdout, stderr io.Writer) error {
	if o.out == "" {
		return forms[orMarkdown(o.format)](stdout)
	}
	if !isDir(o.out) {
		return writeForm(o.out, forms[orMarkdown(o.format)], stderr)
	}
	for _, form := range o.forms {
		if o.format != "" && o.format != form {
			continue
		}
		if err := writeForm(filepath.Join(o.out, name+extensions[form]), forms[form], stderr); err != nil {
			return err
		}
	}
	return nil
}

func orMarkdown(format string) string {
	if format == "" {
		return "markdown"
	}
	return format
}

func writeForm(path string, form func(io.Writer) error, stderr io.Writer) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(form(f), f.Sync(), f.Close())
	if err == nil {
		fmt.Fprintf(stderr, "wrote %s\n", path)
		return nil
	}
	return errors.Join(err, os.Remove(path)) // half a report is none
}

// reportName names the files of a report.
func reportName(kind string, made time.Time) string {
	return kind + "-" + made.UTC().Format("20060102T150405Z")
}

// reportLog is the log that a report is made from.
type reportLog struct {
	dir    string
	keys   []audit.PublicKey
	whose  string // the keys
	stderr io.Writer
}

// take gives the log's folder and keys as far as no flag gave them.
func (l *reportLog) take(cfg *config.Config) {
	if l.dir == "" {
		l.dir = cfg.Audit.Dir
	}
	if len(l.keys) > 0 || cfg.Audit.Key == "" {
		return
	}
	if key, err := publicKey(cfg.Audit.Key + ".pub"); err == nil {
		l.keys, l.whose = []audit.PublicKey{key}, "the key beside this machine's configuration"
	}
}

// dirs gives the log's chains.
func (l *reportLog) dirs() []string {
	if l.dir == "" {
		l.dir = defaultAuditDir
	}
	if beside := filepath.Join(l.dir, besideDir); isDir(beside) {
		return []string{l.dir, beside}
	}
	return []string{l.dir}
}

// readAll gives the records of all chains to add, says when each has ended, and
// tells whether all are good.
func (l *reportLog) readAll(ctx context.Context, add func(audit.Raw) error, ended func()) (all []report.Evidence, good bool, err error) {
	good = true
	for _, dir := range l.dirs() {
		e, err := l.read(ctx, dir, add)
		if err != nil {
			return nil, false, err
		}
		ended()
		all = append(all, e)
		good = good && e.Verified
	}
	return all, good, nil
}

// errNotGood ends a call whose report was made from a log that is not good.
var errNotGood = errors.New("THE LOG IS NOT GOOD: the report says where")

// read gives the records of a chain to add, up to its present end, and says what
// of them is sure. Where the log is not good it gives those before the fault.
func (l *reportLog) read(ctx context.Context, dir string, add func(audit.Raw) error) (report.Evidence, error) {
	e := report.Evidence{Dir: dir}
	var fault *audit.Fault
	head, err := audit.ReadHead(dir)
	damaged := err
	if errors.As(err, &fault) {
		head = audit.Head{Count: math.MaxUint64} // as far as it is good
	} else if err != nil {
		return e, err
	}
	err = l.each(ctx, dir, head, &e, add)
	if errors.As(err, &fault) && damaged != nil {
		err = damaged
	}
	switch {
	case errors.As(err, &fault):
		e.Result = fmt.Sprintf("NOT GOOD: %v. The report covers what stands before", err)
		return e, nil
	case err != nil:
		return e, err
	}
	e.Chain, e.Verified = hex.EncodeToString(head.Chain[:]), true
	e.Result = "every record read follows from those before it; signed checkpoints were not looked at, for want of a public key"
	if note, err := os.ReadFile(filepath.Join(dir, "checkpoint")); err == nil {
		if c, err := audit.ParseCheckpoint(note); err == nil {
			e.Checkpoint = fmt.Sprintf("%s %d %s", c.Origin, c.Size, c.Root)
		}
	}
	if len(l.keys) == 0 {
		return e, nil
	}
	return e, l.verify(ctx, dir, head, &e)
}

// verify holds what was read to the signed checkpoints.
func (l *reportLog) verify(ctx context.Context, dir string, head audit.Head, e *report.Evidence) error {
	check := audit.Check{Heads: []audit.Head{head}, Keys: append(slices.Clone(l.keys), besideKeys(l.keys)...)}
	if err := ctx.Err(); err != nil {
		return err
	}
	rep, err := check.Verify(dir)
	var fault *audit.Fault
	if err != nil && !errors.As(err, &fault) {
		return err
	}
	e.Signed = min(rep.Signed, head.Count)
	if err != nil {
		e.Verified, e.Result = false, fmt.Sprintf("NOT GOOD: %v", err)
		return nil
	}
	e.Signer = fmt.Sprintf("%s (%s)", rep.Signer, l.whose)
	e.Result = fmt.Sprintf("every record is as it was written; the first %d are under signed checkpoints", e.Signed)
	return nil
}

// each reads records, and tells somebody at a terminal how far it has come.
func (l *reportLog) each(ctx context.Context, dir string, head audit.Head, e *report.Evidence, add func(audit.Raw) error) error {
	shown, told := time.Now(), false
	for raw, err := range audit.ReadTo(dir, head) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := add(raw); err != nil {
			return err
		}
		if e.Records == 0 {
			e.First, e.FirstRecord = raw.Seq, raw.Time()
		}
		if e.Records = raw.Seq + 1; e.Records == head.Count {
			e.LastRecord = raw.Time()
		}
		if raw.Seq%progressEvery == 0 && time.Since(shown) > progressAfter && isTerminal(l.stderr) {
			fmt.Fprintf(l.stderr, "\r%d of %d records ", raw.Seq, head.Count)
			shown, told = time.Now(), true
		}
	}
	if told {
		fmt.Fprint(l.stderr, "\r\x1b[K")
	}
	return nil
}
