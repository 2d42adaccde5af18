package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/seal/transit"
)

// keysVerbs are what "pgveil keys" does.
func keysVerbs() []verb {
	return []verb{
		{"create", "make the first key of classes, and the file where it is missing", runKeysCreate},
		{"list", "list keys, without their secrets", runKeysList},
		{"rotate", "make classes another key, which seals from now on", runKeysRotate},
		{"disable", "keep a key from being used", runKeysDisable},
		{"enable", "let a key be used again", runKeysEnable},
		{"destroy", "destroy a key: what it sealed nobody opens again", runKeysDestroy},
		{"rewrap", "wrap the keys of single values under their class's new key", runKeysRewrap},
		{"reap", "destroy the keys of single values that are no more", runKeysReap},
		{"export-public", "print what of the keys is no secret, for an inventory", runKeysExport},
	}
}

func runKeys(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, keysUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, keysUsage())
		return 0
	}
	for _, v := range keysVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil keys: unknown verb %q\n%s", args[0], keysUsage())
	return 2
}

func keysUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil keys <verb> [flags]\n\nMakes and changes the keys of sealed columns, in the file that sealing.keys of the\nconfiguration names. A running pgveil uses what is changed within seconds.\n\n")
	for _, v := range keysVerbs() {
		fmt.Fprintf(&b, "  %-13s %s\n", v.name, v.about)
	}
	b.WriteString("\nExamples:\n  pgveil keys create national_id birth\n  pgveil keys rotate national_id\n  pgveil keys list\n\n\"pgveil keys <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}

// wrapper gives what the file of keys is wrapped by.
func wrapper(s *config.Sealing) (seal.Wrapper, error) {
	if s.WrappedBy.File != "" {
		key, err := readKey(s.WrappedBy.File)
		if err != nil {
			return nil, fmt.Errorf("sealing.wrapped_by: %w", err)
		}
		return seal.Local{Key: key}, nil
	}
	if v := s.WrappedBy.Vault; v != nil {
		token, err := secretFile(v.Token)
		if err != nil {
			return nil, fmt.Errorf("sealing.wrapped_by.vault: %w", err)
		}
		by, err := transit.New(transit.Options{Address: v.Address, Mount: v.Mount, Key: v.Key, Namespace: v.Namespace, CA: v.CA, Token: token})
		if err != nil {
			return nil, fmt.Errorf("sealing.wrapped_by.%w", err)
		}
		return by, nil
	}
	if k := s.WrappedBy.AWS; k != nil {
		return awsWrapper(k)
	}
	if k := s.WrappedBy.GCP; k != nil {
		return gcpWrapper(k)
	}
	key, err := hex.DecodeString(strings.TrimSpace(os.Getenv(s.WrappedBy.Env)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("sealing.wrapped_by: the environment's %s is not 64 hexadecimal digits", s.WrappedBy.Env)
	}
	return seal.Local{Key: key}, nil
}

// loadRing reads the keys.
func (p *process) loadRing(ctx context.Context) (*seal.Ring, error) {
	p.ringText = digest(p.cfg.Sealing.Keys) // before it is read: a change meanwhile is seen later
	by, err := wrapper(p.cfg.Sealing)
	if err != nil {
		return nil, err
	}
	f, err := seal.OpenFile(ctx, p.cfg.Sealing.Keys, by)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sealing.keys: %w: make it with \"pgveil keys create CLASS\"", err)
	}
	if err != nil {
		return nil, fmt.Errorf("sealing.keys: %w", err)
	}
	if f.Serial() < p.ringSerial {
		return nil, fmt.Errorf("sealing.keys: %s is older than what is in use (change %d, not %d): was it restored from a backup?", p.cfg.Sealing.Keys, f.Serial(), p.ringSerial)
	}
	defer f.Forget()
	r, err := f.Ring()
	if err == nil {
		p.ringSerial, p.ringKeys = f.Serial(), f.Keys()
		p.ring.Store(r)
	}
	return r, err
}

// keysCall is one call of "pgveil keys".
type keysCall struct {
	*command
	config string
	json   bool
	yes    bool

	policy string   // where the configuration says that it is
	notes  []string // what whoever called has to know
}

func newKeysCall(name, arguments, about string, examples ...string) *keysCall {
	k := &keysCall{command: newCommand("keys "+name, arguments, about, examples...)}
	k.flags.StringVar(&k.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	k.flags.BoolVar(&k.json, "json", false, "print JSON")
	return k
}

// run parses the arguments and does something with the file of keys, which is locked
// meanwhile and saved when it was changed.
func (k *keysCall) run(ctx context.Context, args []string, stdout, stderr io.Writer, create bool, do func(f *seal.File) (changed bool, err error)) int {
	if done, code := k.parse(args, stdout, stderr); done {
		return code
	}
	if err := k.change(ctx, create, do, stdout); err != nil {
		fmt.Fprintf(stderr, "pgveil %s: %v\n", k.name, err)
		return 1
	}
	for _, note := range k.notes {
		fmt.Fprintln(stderr, note)
	}
	return 0
}

// sealing gives how the policy seals a class.
func (k *keysCall) sealing(class string) (policy.Sealing, error) {
	doc, err := policy.Load(k.policy)
	if err != nil {
		return policy.Sealing{}, fmt.Errorf("how class %q is sealed is not known: %w", class, err)
	}
	return doc.Sealing(class), nil
}

func (k *keysCall) change(ctx context.Context, create bool, do func(f *seal.File) (bool, error), stdout io.Writer) (err error) {
	cfg, err := config.Load(k.config)
	if err != nil {
		return err
	}
	if cfg.Sealing == nil {
		return fmt.Errorf("%s has no sealing, which names the file of keys", k.config)
	}
	k.policy = cfg.Policy
	by, err := wrapper(cfg.Sealing)
	if err != nil {
		return err
	}
	unlock, err := seal.Lock(cfg.Sealing.Keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	f, err := seal.OpenFile(ctx, cfg.Sealing.Keys, by)
	if create && errors.Is(err, fs.ErrNotExist) {
		f, err = seal.CreateFile(ctx, cfg.Sealing.Keys, by)
	}
	if err != nil {
		return err
	}
	changed, err := do(f)
	if err == nil && changed {
		err = f.Save()
	}
	if err != nil {
		return err
	}
	return k.print(stdout, f)
}

// printedKey is a key as it is listed.
type printedKey struct {
	ID      string    `json:"id"`
	Class   string    `json:"class"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Formats bool      `json:"formats,omitempty"` // what keeps a format is sealed under it
	Check   string    `json:"check,omitempty"`   // tells whether two keys are the same
}

func (k *keysCall) print(w io.Writer, f *seal.File) error {
	list := []printedKey{}
	for _, key := range f.Keys() {
		list = append(list, printedKey{fmt.Sprintf("%08x", key.ID), key.Class, key.State.String(), key.Created.UTC(), key.Format, f.Check(key.ID)})
	}
	if k.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tCLASS\tSTATE\tCREATED\tFORMATS\tCHECK")
	for _, key := range list {
		formats := "no"
		if key.Formats {
			formats = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Class, key.State, key.Created.Format(time.RFC3339), formats, key.Check)
	}
	return t.Flush()
}

// eachClass does something with the classes that are named.
func (k *keysCall) eachClass(do func(class string) error) func(*seal.File) (bool, error) {
	return func(*seal.File) (bool, error) {
		if len(k.args) == 0 {
			return false, errors.New("name one class at least")
		}
		for _, class := range k.args {
			if err := do(class); err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

func runKeysCreate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("create", "CLASS ...", "Makes the first key of each class, and the file of keys where there is none.", "pgveil keys create national_id birth")
	return k.run(ctx, args, stdout, stderr, true, func(f *seal.File) (bool, error) {
		return k.eachClass(func(class string) error { _, err := f.Create(class, time.Now()); return err })(f)
	})
}

func runKeysRotate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("rotate", "CLASS ...", "Makes each class another key. What is written from now on is sealed under it;\nwhat the key before sealed still opens, and is found. Seal it again under the new\nkey with \"pgveil seal rotate CLASS\".", "pgveil keys rotate national_id")
	return k.run(ctx, args, stdout, stderr, false, func(f *seal.File) (bool, error) {
		return k.eachClass(func(class string) error { return k.rotate(f, class) })(f)
	})
}

// rotate makes a class another key, where its values say which key sealed them.
func (k *keysCall) rotate(f *seal.File, class string) error {
	if _, err := f.Rotate(class, time.Now()); err != nil {
		return err
	}
	s, err := k.sealing(class)
	switch {
	case err != nil:
		return err
	case s.Format.Alphabet != "":
		return fmt.Errorf("class %q keeps a format: its values do not say which key sealed them, so it has one for good: give a new column a class of its own, and fill it through pgveil", class)
	case s.Mode == policy.SealDeterministic:
		k.notes = append(k.notes, fmt.Sprintf("class %q is deterministic: until all rows are sealed again (pgveil seal rotate %s), values are found under either key, but GROUP BY, DISTINCT, joins and UNIQUE take equal ones under two keys for different ones", class, class))
	case s.Blind:
		k.notes = append(k.notes, fmt.Sprintf("class %q has a blind index: until all rows are sealed again (pgveil seal rotate %s), values are found under either key, but a UNIQUE index takes equal hashes under two keys for different ones", class, class))
	}
	return nil
}

// needed tells why a key must not be destroyed while the policy is as it is.
func (k *keysCall) needed(f *seal.File, id uint32) error {
	for _, key := range f.Keys() {
		if key.ID != id || !key.Format {
			continue
		}
		s, err := k.sealing(key.Class)
		if err != nil {
			return err
		}
		if s.Format.Alphabet != "" {
			return fmt.Errorf("class %q keeps a format, and all of its values are sealed under key %08x: take format out of the policy first, if they are to be lost", key.Class, id)
		}
	}
	return nil
}

// to changes the state of the key that is named.
func (k *keysCall) to(state seal.State) func(*seal.File) (bool, error) {
	return func(f *seal.File) (bool, error) {
		if len(k.args) != 1 {
			return false, errors.New("name one key, as list shows it")
		}
		id, err := strconv.ParseUint(k.args[0], 16, 32)
		if err != nil {
			return false, fmt.Errorf("%q is not a key, as list shows them", k.args[0])
		}
		if state == seal.Destroyed && !k.yes {
			return false, errors.New("what a destroyed key sealed nobody opens again: say --yes if that is meant")
		}
		if state == seal.Destroyed {
			if err := k.needed(f, uint32(id)); err != nil {
				return false, err
			}
		}
		return true, f.Set(uint32(id), state)
	}
}

func runKeysDisable(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("disable", "KEY", "Keeps a key from being used: what it sealed does not open until it is enabled.", "pgveil keys disable 0a1b2c3d")
	return k.run(ctx, args, stdout, stderr, false, k.to(seal.Disabled))
}

func runKeysEnable(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("enable", "KEY", "Lets a disabled key open what it sealed again.", "pgveil keys enable 0a1b2c3d")
	return k.run(ctx, args, stdout, stderr, false, k.to(seal.Enabled))
}

func runKeysDestroy(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("destroy", "KEY", "Destroys a key. What it sealed nobody opens again, here or in backups; copies of\nthe file of keys must be destroyed too.", "pgveil keys destroy 0a1b2c3d --yes")
	k.flags.BoolVar(&k.yes, "yes", false, "it is meant")
	return k.run(ctx, args, stdout, stderr, false, func(f *seal.File) (bool, error) { return k.to(seal.Destroyed)(f) })
}

func runKeysList(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("list", "", "Lists the keys, without their secrets. CHECK tells whether two keys are the same.", "pgveil keys list")
	return k.run(ctx, args, stdout, stderr, false, func(*seal.File) (bool, error) { return false, nil })
}

func runKeysExport(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	k := newKeysCall("export-public", "", "Prints as JSON what of the keys is no secret: ids, classes, states, when they were\nmade, and what tells whether two are the same. The keys are symmetric: there is no\npublic key by which others could seal.", "pgveil keys export-public > keys.json")
	k.json = true
	return k.run(ctx, args, stdout, stderr, false, func(*seal.File) (bool, error) { k.json = true; return false, nil })
}

const (
	ringEvery = 2 * time.Second // is looked at the file of keys
	ringAway  = 5 * time.Second // is what wraps it asked again, while it is away
	ringAgain = time.Minute     // is it read again, where something else is wrong
)

// watchRing puts the keys in use as they are whenever their file changes. Where that
// fails it tries again: a key that was disabled must not stay in use because a token
// was over.
func (p *process) watchRing(ctx context.Context) {
	tick := time.NewTicker(ringEvery)
	defer tick.Stop()
	var again time.Time // zero: when the file changes
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if digest(p.cfg.Sealing.Keys) == p.ringText && (again.IsZero() || now.Before(again)) {
				continue
			}
		}
		err := p.reloadRing(ctx)
		var away *seal.AwayError
		again = time.Time{}
		switch {
		case errors.As(err, &away):
			again = time.Now().Add(ringAway)
		case err != nil:
			again = time.Now().Add(ringAgain)
		}
	}
}

// digest sums up a file; one that cannot be read, why.
func digest(path string) [32]byte {
	text, err := os.ReadFile(path)
	return sha256.Sum256(fmt.Appendf(text, " %v", err))
}

// reloadRing puts the keys in use as they now are. A file with something wrong leaves
// those before in use.
func (p *process) reloadRing(ctx context.Context) error {
	was := p.ringKeys
	r, err := p.loadRing(ctx)
	p.failing.ring.Store(err != nil)
	if err != nil {
		p.log.Error("keys of sealed columns not reloaded: those in use stay in use", "err", err)
		return err
	}
	if err := p.recordRing(was); err != nil {
		p.log.Error("recording the keys", "err", err)
	}
	if p.server != nil { // a worker has none
		p.server.UseRing(r)
	}
	p.log.Info("keys of sealed columns in use", "change", p.ringSerial)
	return nil
}

// recordRing records the keys in use: what is different from those before, or all
// where there were none.
func (p *process) recordRing(was []seal.Key) error {
	if p.cfg.Sealing == nil {
		return nil
	}
	_, err := p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: fmt.Sprintf("keys of sealed columns: change %d of %s is in use%s", p.ringSerial, p.cfg.Sealing.Keys, keyChanges(was, p.ringKeys))})
	return err
}

// keyChanges says what became of keys: their states before and after, or those that
// they have where there were none before.
func keyChanges(was, is []seal.Key) string {
	before := map[uint32]string{}
	for _, k := range was {
		before[k.ID] = k.State.String()
	}
	var b strings.Builder
	for _, k := range is {
		old, known := before[k.ID]
		switch now := k.State.String(); {
		case len(was) == 0:
			fmt.Fprintf(&b, "; key %08x of %s is %s", k.ID, k.Class, now)
		case !known:
			fmt.Fprintf(&b, "; key %08x of %s: new -> %s", k.ID, k.Class, now)
		case old != now:
			fmt.Fprintf(&b, "; key %08x of %s: %s -> %s", k.ID, k.Class, old, now)
		}
		delete(before, k.ID)
	}
	for _, k := range was {
		if _, gone := before[k.ID]; gone {
			fmt.Fprintf(&b, "; key %08x of %s: %s -> not in the file", k.ID, k.Class, k.State)
		}
	}
	return b.String()
}
