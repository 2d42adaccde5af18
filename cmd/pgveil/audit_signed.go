package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// signedVerbs are the verbs around signed checkpoints. Each takes arguments and
// flags in any order.
var signedVerbs = map[string]signedVerb{
	"key": {args: 1, run: auditKey, help: `Usage: pgveil audit key FILE --origin NAME
       pgveil audit key FILE

Makes the key that signs checkpoints of the access log, and writes it to FILE,
readable by its owner only. NAME is the log's for all time: audit.origin. Prints
the public key, which everybody may know and auditors need, and writes it to
FILE.pub. Of a FILE that exists it prints the public key.

  pgveil audit key /etc/pgveil/audit.key --origin crm.example.com/audit
`},
	"prove": {args: 1, run: auditProve, help: `Usage: pgveil audit prove SEQ [--dir DIR] [--out FILE]

Writes a file that proves that record SEQ is in the log: the record, its place,
and the path from it to a signed checkpoint (c2sp.org/tlog-proof). It can be
checked without the log, and shows nothing of other records.

  pgveil audit prove 1042 --dir audit --out record-1042.proof
`},
	"check-proof": {args: 1, run: auditCheckProof, help: `Usage: pgveil audit check-proof FILE --key KEY

Checks what "pgveil audit prove" wrote, with the public key alone, and prints the
record. Exit status 0 means that whoever has the key signed a log that holds it.

  pgveil audit check-proof record-1042.proof --key audit.key.pub
`},
	"consistency": {args: 2, run: auditConsistency, help: `Usage: pgveil audit consistency OLD NEW --key KEY [--dir DIR]

Checks that the log that the checkpoint in file NEW is of began as the one in OLD
says: that no record under OLD is another one under NEW. Of files with several
checkpoints the last counts. The log's files are needed to find the proof, not
believed.

  pgveil audit consistency /mnt/elsewhere/checkpoint-may audit/checkpoint --key audit.key.pub --dir audit
`},
}

type signedVerb struct {
	args int
	help string
	run  func(*signedCall, []string) error
}

// signedCall is one call of such a verb.
type signedCall struct {
	dir, out, origin string
	keys             []audit.PublicKey
	stdout           io.Writer
}

// errUsage is a call that makes no sense.
var errUsage = errors.New("")

func runAuditSigned(name string, args []string, stdout, stderr io.Writer) int {
	verb := signedVerbs[name]
	c := &signedCall{stdout: stdout}
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.dir, "dir", defaultAuditDir, "")
	f.StringVar(&c.out, "out", "", "")
	f.StringVar(&c.origin, "origin", "", "")
	f.Func("key", "", c.addKey)
	words, err := mixed(f, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, verb.help)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil audit %s: %v\n", name, err)
		return 2
	}
	if len(words) != verb.args {
		fmt.Fprint(stderr, verb.help)
		return 2
	}
	switch err := verb.run(c, words); {
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "pgveil audit %s: %v\n", name, err)
		return 2
	case err != nil:
		fmt.Fprintf(stderr, "pgveil audit %s: %v\n", name, err)
		return 1
	}
	return 0
}

// mixed parses flags that stand before, between or behind other arguments.
func mixed(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
}

// addKey takes a public key, or a file with one.
func (c *signedCall) addKey(s string) error {
	k, err := publicKey(s)
	c.keys = append(c.keys, k)
	return err
}

func publicKey(s string) (audit.PublicKey, error) {
	if text, err := os.ReadFile(s); err == nil {
		return audit.ParsePublicKey(string(text))
	} else if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(s, "+") {
		return audit.PublicKey{}, err
	}
	return audit.ParsePublicKey(s)
}

// needKeys gives the keys that were named, with what the second chain's
// checkpoints are checked with.
func (c *signedCall) needKeys() ([]audit.PublicKey, error) {
	if len(c.keys) == 0 {
		return nil, fmt.Errorf("%wname the public key with --key", errUsage)
	}
	return append(c.keys[:len(c.keys):len(c.keys)], besideKeys(c.keys)...), nil
}

func auditKey(c *signedCall, args []string) error {
	path := args[0]
	if c.origin == "" {
		k, err := readAuditKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w%s does not exist; to make it, name the log with --origin", errUsage, path)
		}
		if err == nil {
			_, err = fmt.Fprintln(c.stdout, k.Public())
		}
		return err
	}
	k, text, err := audit.NewKey(c.origin)
	if err != nil {
		return err
	}
	if err := writeNew(path, []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	if err := writeNew(path+".pub", []byte(k.Public().String()+"\n"), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, k.Public())
	return err
}

// readAuditKey reads a key that signs checkpoints.
func readAuditKey(path string) (audit.Key, error) {
	text, err := readSecret(path)
	if err != nil {
		return audit.Key{}, fmt.Errorf("audit key %w", err)
	}
	k, err := audit.ParseKey(text)
	if err != nil {
		return audit.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func auditProve(c *signedCall, args []string) error {
	seq, err := strconv.ParseUint(args[0], 10, 63)
	if err != nil {
		return fmt.Errorf("%w%q is not the seq of a record", errUsage, args[0])
	}
	p, err := audit.Prove(c.dir, seq)
	if err != nil {
		return err
	}
	if c.out == "" {
		_, err = c.stdout.Write(p.Marshal())
		return err
	}
	if err := writeNew(c.out, p.Marshal(), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "wrote %s: record %d, under a checkpoint of %d records of %s\n", c.out, seq, p.Checkpoint.Size, p.Checkpoint.Origin)
	return err
}

func auditCheckProof(c *signedCall, args []string) error {
	keys, err := c.needKeys()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	p, err := audit.CheckProof(text, keys)
	if err != nil {
		return fmt.Errorf("THE PROOF IS NOT GOOD\n  %w", err)
	}
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(p.Record); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "good: record %d of %s, under a signed checkpoint of %d records\n", p.Record.Seq, p.Checkpoint.Origin, p.Checkpoint.Size)
	return err
}

func auditConsistency(c *signedCall, args []string) error {
	keys, err := c.needKeys()
	if err != nil {
		return err
	}
	var last [2]audit.Checkpoint
	for i, path := range args {
		list, err := readCheckpoints(path)
		if err != nil {
			return err
		}
		last[i] = list[len(list)-1]
		by, err := last[i].SignedBy(keys)
		if err == nil && len(by) == 0 {
			err = errors.New("it is signed by none of the keys")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := audit.CheckConsistency(c.dir, last[0], last[1]); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "good: the %d records of %s began with the %d\n", last[1].Size, last[1].Origin, last[0].Size)
	return err
}

// besideKeys are the same keys for the second chain, which has a name of its own.
func besideKeys(keys []audit.PublicKey) (list []audit.PublicKey) {
	for _, k := range keys {
		list = append(list, k.For(besideOrigin(k.Origin())))
	}
	return list
}

// verifyProgress gives what shows on a terminal how far verify has come, and
// what removes it.
func verifyProgress(w io.Writer) (show func(records uint64, bytes int64), done func()) {
	f, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	last := time.Now()
	show = func(records uint64, bytes int64) {
		if now := time.Now(); now.Sub(last) > time.Second/2 {
			last = now
			fmt.Fprintf(f, "\r%d records, %.0f MB\x1b[K", records, float64(bytes)/1e6)
		}
	}
	return show, func() { fmt.Fprint(f, "\r\x1b[K") }
}
