package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// File is one file of a policy.
type File struct{ Name, Text string }

// Document is a policy as it is written: every file of it, merged by name, and
// not yet compared with any catalog.
type Document struct {
	observe    bool
	purposes   map[string]*purpose
	subjects   map[string]*subject
	classes    map[string]*class
	roles      map[string]*role
	rules      []*rule
	users      map[string]*user
	functions  []pattern
	extensions []word
	discloses  []pattern
	retention  []retention
	groups     map[string][]word // of an identity provider, with the roles that they give
	attributes []word            // that signed tokens bring
	elevations []*offer
	factor     factor
	watch      Watch
	excepted   []word // roles of which something is not watched for
	limits     Limits
	counted    []countedName // kinds and classes that limits name
	scanWrites scan          // of what goes into open columns
	honey      Honey
	requests   Requests

	unclassified Treatment
	generation   string
}

// purpose is what data is used for. What it does not say itself it has from the
// purpose that it is within.
type purpose struct {
	name    word
	within  word // the purpose that it is a part of; "" for none
	basis   basis
	consent string // what the consent table calls it; of basis consent only
	about   string
	means   word // the term of the Data Privacy Vocabulary that it is, without its prefix; "" for none
	limits  Limits
	pos     Pos // of what is said of it

	directMarketing    bool // it may be objected to whatever its basis
	despiteRestriction bool // it sees restricted data as well (GDPR, Article 18(2))
}

// basis is a purpose's legal basis (GDPR, Article 6(1)). The zero basis is none.
type basis uint8

const (
	contract basis = iota + 1
	consent
	legalObligation
	vitalInterests
	publicTask
	legitimateInterest
)

var basisNames = []string{"contract", "consent", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"}

type subject struct {
	name       word
	table      pattern
	key        pattern
	findBy     []pattern
	consent    *consentColumns
	ledger     bool // pgveil itself keeps consents, restrictions and objections
	references []reference
	erase      []handling
}

// consentColumns says where a subject's consents are recorded.
type consentColumns struct {
	table                              pattern
	subject, purpose, given, withdrawn pattern
}

type class struct {
	name    word
	columns []pattern
	special bool
	seal    Sealing
	known   bool // its values are what a subject is known by
	about   string
	scan    scan
	erase   erasing

	provided bool // by the subjects themselves
}

type role struct {
	name         word
	purposes     []word
	not          []word // purposes that it does not serve, though they are within those that it does
	tables       []entry
	limits       Limits
	privacy      []string
	unrestricted bool
	hours        hours
	from         places
	requires     []word // attributes that end in _until, without that
	state        state
}

// entry is one grant of a role: what it may do to which tables, for which rows.
type entry struct {
	on   []pattern
	ops  Ops
	rows filter
	pos  Pos
}

// state says how far a rule or a role counts. The zero state enforces: a rule
// that says nothing of it is meant.
type state uint8

const (
	enforced state = iota
	observed       // recorded, decides nothing
	drafted        // checked, decides nothing
)

var stateNames = []string{"enforce", "observe", "draft"}

type rule struct {
	roles, purposes, classes selector
	treatment                Treatment
	because                  string
	owner                    string
	state                    state
	expires                  time.Time // the first moment it does not count; zero: never
	pos                      Pos
}

// selector is one of the three names in a rule.
type selector struct {
	any   bool
	words []word
}

func (s selector) matches(name string) bool { return s.any || named(s.words, name) }

// named tells whether a name is among the words.
func named(words []word, name string) bool {
	return slices.ContainsFunc(words, func(w word) bool { return w.text == name })
}

type user struct {
	name       word
	roles      []word
	actAs      []word
	signed     bool // it acts for others by signed tokens only
	attributes map[string]string
	until      []eligibility
	hours      hours
	from       places
	limits     Limits
}

// eligibility is an attribute of a user that lapses.
type eligibility struct {
	attribute string
	lapses    time.Time // the first moment it does not hold
}

// openClass is the class whose columns every caller that reaches their table
// sees.
const openClass = "open"

// anyWord stands for every role, purpose or class in a rule.
const anyWord = "any"

// Load reads a policy from a directory's *.yaml and *.yml files, in the order
// of their names, or from one file. It reads nothing else, and does not enter
// directories within. Its error is a Problems when the files could be read.
func Load(path string) (*Document, error) {
	names, err := policyFiles(path)
	if err != nil {
		return nil, fmt.Errorf("load policy: %w", err)
	}
	files := make([]File, len(names))
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("load policy: %w", err)
		}
		// Positions are shown to clients and kept in the access log: where on
		// this machine the policy lies is nobody's business there.
		files[i] = File{shortName(path, name), string(text)}
	}
	return Parse(files...)
}

// shortName gives a file's name from the policy's own folder on.
func shortName(root, name string) string {
	if rel, err := filepath.Rel(filepath.Dir(filepath.Clean(root)), name); err == nil {
		return filepath.ToSlash(rel)
	}
	return filepath.Base(name)
}

// policyFiles gives the files of a policy. Links are followed, as deployments
// put a directory of them in place.
func policyFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, checkSize(path, info)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			continue
		}
		if err := checkSize(name, info); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("%s holds no *.yaml file", path)
	case len(names) > maxFiles:
		return nil, fmt.Errorf("%s holds more than %d files", path, maxFiles)
	}
	return names, nil
}

// checkSize refuses what would not end or not fit, before it is read.
func checkSize(name string, info os.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxFileSize:
		return fmt.Errorf("%s is larger than %d bytes", name, maxFileSize)
	}
	return nil
}

// Parse reads a policy from the texts of its files. Its error is a Problems
// that holds everything wrong in any of them.
func Parse(files ...File) (*Document, error) {
	r := &reader{seen: map[string]Pos{}, doc: &Document{
		watch:    usualWatch(),
		purposes: map[string]*purpose{},
		subjects: map[string]*subject{},
		classes:  map[string]*class{},
		roles:    map[string]*role{},
		users:    map[string]*user{},
		groups:   map[string][]word{},
	}}
	hash := sha256.New()
	for _, f := range files {
		fmt.Fprintf(hash, "%d %s %d %s", len(f.Name), f.Name, len(f.Text), f.Text)
		if root := r.tree(f); root != nil {
			r.document(root)
		}
	}
	r.families()
	if _, ok := r.seen["version"]; !ok && len(r.found) == 0 {
		r.add(Pos{firstName(files), 1, 1}, `a policy needs "version: 1"`)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	r.doc.generation = hex.EncodeToString(hash.Sum(nil))[:16]
	return r.doc, nil
}

func firstName(files []File) string {
	if len(files) == 0 {
		return "policy"
	}
	return files[0].Name
}

// document reads the root of one file into the Document. Definitions by name
// are merged, lists are joined; all else may be said once in all the files.
func (r *reader) document(root *yaml.Node) {
	d := r.doc
	once := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) { r.define(key, r.at(n)); read(n) }
	}
	r.fields(root, "a policy", keys{
		"version":  r.version,
		"mode":     once("mode", func(n *yaml.Node) { d.observe = r.oneOf(n, "mode", "enforce", "observe") == 1 }),
		"purposes": func(n *yaml.Node) { r.entries(n, "purpose", r.purpose) },
		"subjects": func(n *yaml.Node) { r.entries(n, "subject", r.subject) },
		"classes":  func(n *yaml.Node) { r.entries(n, "class", r.class) },
		"roles":    func(n *yaml.Node) { r.entries(n, "role", r.role) },
		"users":    func(n *yaml.Node) { r.entries(n, "user", r.user) },
		"rules":    func(n *yaml.Node) { r.items(n, "rules", r.rule) },
		"unclassified": once("unclassified", func(n *yaml.Node) {
			d.unclassified = r.show(n)
			d.unclassified.Rule = r.at(n).line()
			if s := d.unclassified.Show; s == ShowClear || s == ShowAggregate {
				r.add(r.at(n), "unclassified columns may be refused or masked; to show columns, put them in a class")
			}
		}),
		"functions": r.functions,
		"discloses": func(n *yaml.Node) {
			r.list(n, "names", func(n *yaml.Node) { d.discloses = append(d.discloses, r.name(n, "a view or function", 2)) })
		},
		"requests":  once("requests", r.requests),
		"retention": func(n *yaml.Node) { r.items(n, "retention rules", r.retention) },
		"groups": func(n *yaml.Node) {
			r.entries(n, "group", func(name word, n *yaml.Node) { r.doc.groups[name.text] = r.words(n, "a role") })
		},
		"attributes": func(n *yaml.Node) {
			for _, w := range r.words(n, "an attribute") {
				r.attributeName(w)
				d.attributes = append(d.attributes, w)
			}
		},
		"elevations":    func(n *yaml.Node) { r.items(n, "elevations", r.elevation) },
		"scan_writes":   once("scan_writes", func(n *yaml.Node) { d.scanWrites = r.scan(n, "scan_writes", writeWords) }),
		"watch":         once("watch", r.watch),
		"second_factor": once("second_factor", r.factor),
		"limits":        once("limits", func(n *yaml.Node) { d.limits = r.limits(n, 0, "") }),
		"honey":         once("honey", r.honey),
	})
}

// version may be repeated in every file, but never be another.
func (r *reader) version(n *yaml.Node) {
	r.seen["version"] = r.at(n)
	if w := r.text(n, "the version"); w.text != "" && w.text != "1" {
		r.add(w.pos, "version %q is not known here: this release reads version 1", strings.ToValidUTF8(w.text, "?"))
	}
}
