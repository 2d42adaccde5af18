package pgveil

import (
	"cmp"
	"errors"
	"go/build"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	ours     = "github.com/pgveil/pgveil/"
	pgx      = "github.com/jackc/pgx/v5"
	pgquery  = "github.com/pganalyze/pg_query_go/v6"
	protobuf = "google.golang.org/protobuf"
	yaml     = "go.yaml.in/yaml/v4"
	jose     = "github.com/go-jose/go-jose/v4"
	metrics  = "github.com/prometheus/client_golang"
)

// may is what a package's production code may import besides the standard
// library: packages of ours, without the module's path, and those of other
// modules, by a prefix. The zero may is a leaf.
type may struct {
	ours, modules []string
	why           string
}

// layers holds every package of ours. Imports point down: cmd → proxy →
// rewrite → policy → catalog. What is decided (policy, rewrite) does no I/O,
// and what does I/O decides nothing.
var layers = map[string]may{
	"catalog":         {why: "describes a database, wherever the description is from: pgload and ddl bring it"},
	"catalog/builtin": {ours: list("catalog"), why: "PostgreSQL's own functions and types, without a server to ask"},
	"catalog/builtin/generate": {
		ours: list("catalog catalog/builtin catalog/pgload"), modules: list(pgx),
		why: "asks a real server once and writes builtin's data; no part of the binary",
	},
	"catalog/ddl": {
		ours: list("catalog catalog/builtin"), modules: list(pgquery, protobuf),
		why: "CREATE text can only be read by PostgreSQL's parser; needs no server, so that check and test run anywhere",
	},
	"catalog/pgload": {ours: list("catalog"), modules: list(pgx), why: "the only way from a live server to a catalog"},

	"seal": {
		ours: list("policy"), modules: list(pgx, "github.com/tink-crypto/tink-go/v2"),
		why: "a value and keys in, what is stored out; pgx knows the binary forms of values, Tink seals deterministically",
	},

	"seal/cloudkms": {ours: list("seal"), why: "two calls of either API, and who pgveil is there"},

	"seal/transit": {ours: list("seal"), why: "two calls of Vault's API"},

	"shred": {
		ours: list("policy seal"), modules: list(pgx),
		why: "the store of keys that seal one value each; nothing of statements and sessions",
	},

	"reseal": {
		ours: list("catalog policy seal"), modules: list(pgx),
		why: "seals what is in a database already, on a connection and under keys that it is given; cmd gives it the access log",
	},

	"reseal/forecast": {
		ours: list("audit policy rewrite rewrite/parse"),
		why:  "plans what the access log has anew, by engines that it is given: it reads no log itself, and asks no server",
	},

	"recognise": {why: "bytes in, places out: whoever scans values of a database, on their way or at rest, needs nothing else of ours"},

	"regime": {why: "the law as data: dates in, dates out"},

	"policy": {
		ours: list("catalog recognise regime"), modules: list(yaml),
		why: "pure: a document and a catalog in, decisions out; never rewrite, which asks it",
	},

	"rewrite/parse": {modules: list(pgquery, protobuf), why: "PostgreSQL's parser and deparser, and what must be known about their trees"},
	"rewrite/resolve": {
		ours: list("catalog rewrite/parse"), modules: list(pgquery, protobuf),
		why: "what names mean depends on the catalog alone, not on what the policy thinks of it",
	},
	"rewrite/mask": {ours: list("catalog policy"), why: "masks are SQL text, or done on a value in hand: no parser, and no server"},
	"rewrite/injection": {
		ours: list("rewrite/parse"), modules: list(pgquery, protobuf),
		why: "what injections look like is a matter of the text alone: whose it is, and what it may see, is decided elsewhere",
	},
	"rewrite": {
		ours: list("catalog policy rewrite/injection rewrite/mask rewrite/parse rewrite/resolve"), modules: list(pgquery, protobuf),
		why: "Plan is the whole of enforcement and does no I/O: proxy, explain and test share it; never proxy",
	},
	"rewrite/cases": {
		ours: list("audit catalog catalog/ddl policy rewrite rewrite/mask"), modules: list(pgx),
		why: "the runner of .case files is in the product (pgveil test): it runs plans on a server itself, without a proxy, and without testing",
	},

	"rewrite/twins": {
		ours: list("catalog catalog/pgload policy rewrite rewrite/mask rewrite/parse"), modules: list(pgx, pgquery, protobuf),
		why: "makes statements and runs plans, for tests alone; a plan must need nothing of it",
	},

	"audit": {modules: list("golang.org/x/mod/sumdb/note golang.org/x/mod/sumdb/tlog golang.org/x/sys"), why: "a leaf: whoever verifies a log need trust nothing else of ours; sys for mapped files, fdatasync and locks, sumdb for the Merkle tree and signed notes"},

	"limits": {ours: list("policy"), modules: list("golang.org/x/sys"), why: "counts; sys for a lock on the file that processes share"},
	"limits/valkey": {
		ours: list("alert limits policy"),
		why:  "the ledger that machines share, the one that speaks to a network; its client is its own, by the standard library",
	},

	"alert": {
		ours: list("syslog"), modules: list(metrics, "github.com/wneessen/go-mail"),
		why: "events and where they go; knows nothing of what is enforced, which raises them",
	},

	"syslog": {modules: list("golang.org/x/sys"), why: "messages and connections: knows neither records nor events; sys to see what a peer has not acknowledged"},
	"detect": {ours: list("alert policy"), why: "what is unusual in how somebody behaves: statements in, alerts out; no I/O, and no clock but the times it is given"},

	"audit/ship": {
		ours: list("alert audit syslog"), modules: list("github.com/twmb/franz-go golang.org/x/sys"),
		why: "reads the log's files and sends them on; nothing of what enforces knows it, so it can hold nothing up",
	},

	"audit/load": {
		ours: list("audit"), modules: list(pgx, "golang.org/x/mod/sumdb/tlog"),
		why: "brings the log into tables, on a connection that it is given; the log itself needs no database",
	},

	"unused": {ours: list("audit policy"), why: "what is granted beside what was used: counts records, and decides nothing; cmd reads and prints"},

	"report": {ours: list("audit catalog policy retention unused"), modules: list(yaml, "golang.org/x/mod/sumdb/note"), why: "what people ask the log and the policy, put into words: reads no log itself, and decides nothing; cmd reads and writes"},

	"presets": {ours: list("catalog policy"), modules: list(yaml), why: "data of applications, made to suit a catalog: it asks no database, and cmd reads and writes"},

	"privacy": {
		ours: list("policy"),
		why:  "what PRIVACY commands say, not what they do: the proxy reads them, dsar answers them",
	},
	"state": {
		ours: list("alert detect policy privacy"), modules: list(pgx, "github.com/pquerna/otp"),
		why: "what is remembered in the database, on a connection that it is given: it decides nothing but whether a code is right; policy says what auditors read",
	},
	"sweep": {
		ours: list("catalog"), modules: list(pgx, "golang.org/x/text"),
		why: "reads a whole database and says where values are, on a connection that it is given: whose they are, it is told; text to fold what people type",
	},
	"requests": {
		ours: list("alert audit catalog dsar erasures policy privacy regime state sweep"), modules: list(pgx),
		why: "what becomes of requests, from receipt to certificate; dsar does what is done to rows, and knows no requests",
	},
	"dsar": {
		ours: list("audit catalog policy privacy rewrite/mask seal state sweep"), modules: list(pgx, "filippo.io/age"),
		why: "follows foreign keys on a connection that it is given; proxy and cmd are faces of it; audit for the form of what rows were and became, age to encrypt what leaves the house",
	},

	"erasures": {
		ours: list("audit catalog policy report"), modules: list(pgx, "golang.org/x/sys", "golang.org/x/mod/sumdb/note"),
		why: "a file and what it says of a database, on a connection that it is given; who erases is an argument; sys for a lock and for room, note for signatures",
	},

	"retention": {
		ours: list("catalog policy state"), modules: list(pgx),
		why: "removes rows on a connection that it is given; cmd gives it the access log, and what erases subjects",
	},

	"datamap": {
		ours: list("catalog policy recognise seal"), modules: list(pgx),
		why: "looks at samples on a connection that it is given, and proposes: it decides nothing, and changes nothing",
	},

	"harden": {modules: list(pgx), why: "asks a server and says what to change, on a connection that it is given: it knows no policy and no configuration"},

	"honey": {
		ours: list("catalog policy"), modules: list(pgx),
		why: "makes up rows on a connection that it is given; which rows those are state remembers, and proxy looks out for them",
	},

	"sidedoor": {
		ours: list("alert state"), modules: list(pgx),
		why: "compares what the server lists with what proxies say is theirs, on connections that it is given",
	},

	"proxy/wire":  {why: "frames, not meanings: a leaf that both sides of a session share"},
	"proxy/auth":  {modules: list(pgx, "golang.org/x/text"), why: "logins: pgx to look verifiers up, text for SASLprep; knows no policy"},
	"proxy/token": {modules: list(jose), why: "verifies what others signed, by go-jose alone; reads no file and asks no network, for a session's loop calls it"},
	"proxy/guard": {why: "counts failed logins; knows neither connections nor passwords"},
	"proxy": {
		ours: list("alert audit detect limits policy privacy proxy/auth proxy/guard proxy/token proxy/wire recognise requests seal shred rewrite rewrite/mask rewrite/parse state"), modules: list(metrics, "golang.org/x/sys"),
		why: "sessions: asks rewrite, never the catalog or pg_query; frames are ours, for pgx would decode what is only relayed; the event loop is epoll",
	},

	"config": {modules: list(yaml), why: "knows no behaviour; imported by cmd alone"},
	"cmd/pgveil": {
		ours: list(
			"alert audit audit/load audit/ship catalog catalog/ddl catalog/pgload config datamap detect docs dsar erasures harden honey limits limits/valkey policy presets privacy proxy proxy/auth proxy/guard proxy/token report requests reseal reseal/forecast retention rewrite rewrite/cases rewrite/mask seal seal/cloudkms seal/transit shred sidedoor state syslog unused",
		),
		modules: list(pgx, jose, metrics, "golang.org/x/sys", "github.com/KimMachineGun/automemlimit", "github.com/boombuler/barcode"),
		why:     "puts everything together, a file a verb; not what tests and demos are made of; sys to share a port, automemlimit to know the control group, barcode to show a QR code, jose to sign tokens for trying things out",
	},

	"docs": {why: "what of the documentation the binary serves: the description of its HTTP interface"},

	"internal/faulty":     {why: "a network that fails on purpose, for tests alone: it knows connections, not what they carry"},
	"internal/pgserver":   {modules: list(pgx), why: "a private PostgreSQL: for tests, the demo and benchmarks, not for the product"},
	"internal/veil":       {why: "starts and ends the built program, for those who judge it from outside"},
	"internal/pgtest":     {ours: list("internal/pgserver"), modules: list(pgx), why: "fixtures on a private PostgreSQL, for tests alone"},
	"internal/wirescript": {modules: list(pgx + "/pgproto3"), why: "scripts of messages in tests: a second implementation of the protocol than the one under test"},

	"internal/ledgertest":  {ours: list("limits policy"), why: "what every ledger of limits must do, for tests alone"},
	"internal/redisserver": {why: "a private Redis or Valkey, for tests alone"},

	"demo":      {modules: list(pgx), why: "the CRM's schema, policy and rows; no part of the product"},
	"demo/tour": {ours: list("audit demo internal/pgserver"), modules: list(pgx), why: "shows the built program from outside; audit to read what its log verbs print"},
	"bench": {
		ours: list("catalog/pgload internal/pgserver policy rewrite"), modules: list(pgx, "golang.org/x/sync"),
		why: "measures the built program from outside, and plans alone from inside",
	},
	"bench/ledger": {
		ours: list("catalog/pgload dsar internal/pgserver internal/veil policy rewrite state"), modules: list(pgx),
		why: "measures what a ledger adds, through the built program and past it",
	},
	"bench/gdpr": {ours: list("internal/pgserver internal/veil"), modules: list(pgx), why: "measures the rights of data subjects through the built program, and by hand without it"},
	"clients":    {ours: list("internal/pgserver internal/veil"), modules: list(pgx), why: "runs other programs through the built program"},
	"suites":     {ours: list("internal/pgserver internal/veil"), modules: list(pgx), why: "runs other projects' tests through the built program"},
	"redteam":    {ours: list("demo internal/pgserver internal/redisserver internal/veil"), modules: list(pgx), why: "takes customers through the built program, and looks at every byte that arrives"},
	"soak":       {ours: list("internal/pgserver"), modules: list(pgx), why: "loads the built program from outside, and looks at what it takes up"},
}

// guarded are packages of the standard library that only some may import.
var guarded = map[string]may{
	"testing":      {ours: list("internal/ledgertest internal/pgtest internal/wirescript"), why: "it registers flags, and has no place in the binary"},
	"log":          {why: "log/slog has levels and attributes"},
	"math/rand":    {why: "salts, keys and ids are from crypto/rand"},
	"math/rand/v2": {ours: list("demo bench bench/gdpr internal/ledgertest redteam soak rewrite/twins"), why: "rows and statements that are made again the same; salts, keys and ids are from crypto/rand"},
	"unsafe":       {ours: list("proxy"), why: "one look at bytes as text, without a copy"},
	"os/exec":      {ours: list("internal/pgserver internal/redisserver internal/veil demo/tour bench bench/gdpr bench/ledger clients redteam suites soak"), why: "the product starts no programs"},
	"net/http":     {ours: list("alert audit/ship cmd/pgveil demo/tour bench clients seal/cloudkms seal/transit soak"), why: "metrics and health are cmd's: a session has no other way out than its server"},
	"plugin":       {why: "what enforces is in this tree"},
}

func list(names ...string) []string { return strings.Fields(strings.Join(names, " ")) }

func TestImports(t *testing.T) {
	found := packages(t)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		layer, ok := layers[name]
		if !ok {
			t.Errorf("package %s is not in the table of layers: say what it may import, and why", name)
			continue
		}
		for _, path := range found[name] {
			if why := forbidden(name, layer, path); why != "" {
				t.Errorf("%s imports %s: %s", name, path, why)
			}
		}
	}
	for name := range layers {
		if _, ok := found[name]; !ok {
			t.Errorf("the table of layers has %s, which is no package", name)
		}
	}
}

// forbidden tells why a package may not import another; "" if it may.
func forbidden(name string, layer may, path string) string {
	if guard, ok := guarded[path]; ok && !slices.Contains(guard.ours, name) {
		return cmp.Or(guard.why, "nobody may")
	}
	if of, ok := strings.CutPrefix(path, ours); ok {
		if slices.Contains(layer.ours, of) {
			return ""
		}
		return layer.why
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") { // the standard library
		return ""
	}
	within := func(module string) bool { return path == module || strings.HasPrefix(path, module+"/") }
	if slices.ContainsFunc(layer.modules, within) {
		return ""
	}
	return layer.why
}

// packages gives what the production code of each package imports. It reads
// the folders itself instead of running "go list", for a result that go test
// keeps counts only the files that the test opened.
func packages(t *testing.T) map[string][]string {
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == "." {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || ownModule(dir) {
			return fs.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if errors.As(err, new(*build.NoGoError)) {
			return nil
		}
		if err == nil && len(p.GoFiles)+len(p.CgoFiles) > 0 {
			found[filepath.ToSlash(dir)] = p.Imports
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ownModule tells whether a folder is a module of its own, as drivers under
// test are.
func ownModule(dir string) bool {
	_, err := os.Stat(path.Join(dir, "go.mod"))
	return err == nil
}

func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		name, from, path string
		forbidden        bool
	}{
		{"down", "proxy", ours + "rewrite", false},
		{"up", "policy", ours + "rewrite", true},
		{"over a layer", "proxy", ours + "catalog", true},
		{"a module", "policy", "go.yaml.in/yaml/v4/plugin/loaderlimits", false},
		{"a module that begins alike", "policy", "go.yaml.in/yaml/v40", true},
		{"a module of others", "policy", pgx, true},
		{"the standard library", "policy", "strings", false},
		{"a guarded package", "rewrite", "testing", true},
		{"a guarded package, by who may", "internal/pgtest", "testing", false},
		{"part of a guarded package", "proxy", "log/slog", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := forbidden(tt.from, layers[tt.from], tt.path); (got != "") != tt.forbidden {
				t.Errorf("forbidden(%s, %s) = %q", tt.from, tt.path, got)
			}
		})
	}
}
