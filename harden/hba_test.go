package harden

import (
	"net/netip"
	"strings"
	"testing"
)

func line(where, typ, database, user, address, method string) hbaLine {
	l := hbaLine{Where: where, Type: typ, Databases: []string{database}, Users: strings.Split(user, ","), Method: method}
	if address == "" {
		return l
	}
	l.Address = &address
	if p, err := netip.ParsePrefix(address); err == nil {
		mask := "255.255.255.255"
		switch p.Bits() {
		case 0:
			mask = "0.0.0.0"
		case 24:
			mask = "255.255.255.0"
		}
		at := p.Addr().String()
		l.Address, l.Netmask = &at, &mask
	}
	return l
}

func TestJudgeHBA(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}
	const scram = "scram-sha-256"
	for _, tt := range []struct {
		name  string
		unix  bool
		lines []hbaLine
		want  string
	}{
		{"nobody", false, nil, ""},
		{"the proxy", false, []hbaLine{line("1", "host", "all", "all", "10.0.0.5/32", scram)}, ""},
		{"the proxy's network", false, []hbaLine{line("1", "host", "all", "all", "10.0.0.0/24", scram)}, "hba-line 1"},
		{"everywhere", false, []hbaLine{line("1", "hostssl", "all", "alice", "all", scram)}, "hba-line 1"},
		{"by name", false, []hbaLine{line("1", "host", "shop", "alice", "db.example", scram)}, "hba-line 1"},
		{"another database", false, []hbaLine{line("1", "host", "other", "all", "all", scram)}, ""},
		{"another login", false, []hbaLine{line("1", "host", "all", "mallory", "all", scram)}, ""},
		{"a group", false, []hbaLine{line("1", "host", "all", "+staff", "all", scram)}, "hba-line 1"},
		{"a group of others", false, []hbaLine{line("1", "host", "all", "+boss", "all", scram)}, ""},
		{"a pattern", false, []hbaLine{line("1", "host", "all", "/^a", "all", scram)}, "hba-line 1"},
		{"refused before", false, []hbaLine{line("1", "host", "all", "alice,pgveil", "all", "reject"), line("2", "host", "all", "all", "all", scram)}, ""},
		{"one refused before", false, []hbaLine{line("1", "host", "all", "alice", "all", "reject"), line("2", "host", "all", "all", "all", scram)}, "hba-line 2"},
		{"refused under TLS alone", false, []hbaLine{line("1", "hostssl", "all", "all", "all", "reject"), line("2", "host", "all", "all", "all", scram)}, "hba-line 2"},
		{"refused from a network", false, []hbaLine{line("1", "host", "all", "all", "10.1.0.0/24", "reject"), line("2", "host", "all", "all", "all", scram)}, "hba-line 2"},
		{"refused too late", false, []hbaLine{line("1", "host", "all", "all", "all", scram), line("2", "host", "all", "all", "all", "reject")}, "hba-line 1"},
		{"behind one that fits all", false, []hbaLine{line("1", "host", "all", "all", "all", scram), line("2", "host", "all", "all", "10.1.0.0/24", scram)}, "hba-line 1"},
		{"the machine", false, []hbaLine{line("1", "local", "all", "all", "", scram)}, "hba-line 1"},
		{"the machine, refused", false, []hbaLine{line("1", "local", "all", "all", "", "reject"), line("2", "local", "all", "all", "", scram)}, ""},
		{"the machine, where pgveil is", true, []hbaLine{line("1", "local", "all", "all", "", scram)}, ""},
		{"the machine, without proof", true, []hbaLine{line("1", "local", "all", "all", "", "trust")}, "hba-trust 1"},
		{"the proxy, without proof", false, []hbaLine{line("1", "host", "all", "all", "10.0.0.5/32", "trust")}, "hba-trust 1"},
		{"everybody, without proof", false, []hbaLine{line("1", "host", "all", "all", "all", "trust")}, "hba-line 1"},
		{"pgveil's own database", false, []hbaLine{line("1", "host", "sameuser", "all", "all", scram)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site := Site{Own: "pgveil", Logins: []string{"alice"}, Unix: tt.unix, Proxies: proxies}
			var got []string
			for _, f := range judgeHBA(tt.lines, map[string][]string{"alice": {"alice", "staff"}, "pgveil": {"pgveil"}}, "shop", site) {
				got = append(got, f.ID+" "+f.Object)
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHBACloses has the lines that are printed close what stands behind them.
func TestHBACloses(t *testing.T) {
	site := Site{Own: "pgveil", Logins: []string{`a"b`}, Assumed: []string{"all"}, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}, TLS: true}
	const want = `# pgveil: these logins come from pgveil, and from nowhere else.
hostssl "shop" "a""b","pgveil" 10.0.0.5/32 cert
local   "shop" "a""b","pgveil","all" reject
host    "shop" "a""b","pgveil","all" all reject
`
	if got := HBA(site, "shop", "cert"); got != want {
		t.Errorf("the lines are\n%s, want\n%s", got, want)
	}
	site.Unix, site.Proxies = true, nil
	const local = `# pgveil: these logins come from pgveil, and from nowhere else.
local   "shop" "a""b","pgveil" scram-sha-256
local   "shop" "all" reject
host    "shop" "a""b","pgveil","all" all reject
`
	if got := HBA(site, "shop", ""); got != local {
		t.Errorf("by the socket the lines are\n%s, want\n%s", got, local)
	}
}

// TestComments has no name end the comment that it stands in.
func TestComments(t *testing.T) {
	var b strings.Builder
	if err := Script(&b, []Finding{{ID: "x", Severity: Open, Object: "a\n; DROP TABLE b", Says: "c\r\\! rm", Hand: []string{"d\fe"}}}); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if strings.Contains(l, "DROP") && !strings.HasPrefix(l, "-- ") || strings.ContainsAny(l, "\r\f") {
			t.Errorf("a line of the script is %q", l)
		}
	}
}
