package harden

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// hbaLine is a line of pg_hba.conf.
type hbaLine struct {
	Where, Type      string
	Databases, Users []string
	Address, Netmask *string
	Method           string
}

// inspectHBA finds the lines that let the logins that pgveil comes by in from
// elsewhere than pgveil.
func inspectHBA(ctx context.Context, conn *pgx.Conn, site Site, version int) ([]Finding, error) {
	where, order := "'line ' || line_number", "line_number"
	if version >= 16 {
		where, order = "CASE WHEN file_name = pg_catalog.current_setting('hba_file') THEN 'line ' ELSE file_name || ':' END || line_number", "rule_number"
	}
	rows, err := conn.Query(ctx, "SELECT "+where+", type, database, user_name, address, netmask, auth_method FROM pg_catalog.pg_hba_file_rules WHERE error IS NULL ORDER BY "+order)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowToStructByPos[hbaLine])
	if denied(err) {
		return []Finding{unseen("hba-line")}, nil
	}
	if err != nil {
		return nil, err
	}
	groups, database, err := groupsOf(ctx, conn, site)
	if err != nil {
		return nil, err
	}
	return judgeHBA(lines, groups, database, site), nil
}

// groupsOf gives the roles that each of the logins is a member of.
func groupsOf(ctx context.Context, conn *pgx.Conn, site Site) (groups map[string][]string, database string, err error) {
	rows, err := conn.Query(ctx, `SELECT l.rolname, ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles g WHERE pg_catalog.pg_has_role(l.oid, g.oid, 'MEMBER')), pg_catalog.current_database()
		FROM pg_catalog.pg_roles l WHERE l.rolname = ANY ($1)`, append(site.ours(), site.Assumed...))
	if err != nil {
		return nil, "", err
	}
	groups = map[string][]string{}
	var login string
	var of []string
	_, err = pgx.ForEachRow(rows, []any{&login, &of, &database}, func() error { groups[login] = slices.Clone(of); return nil })
	return groups, database, err
}

// fits tells whether a line is for a login in the database.
func (l *hbaLine) fits(login, database string, groups []string) bool {
	named := func(words []string, name string, more ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			group, isGroup := strings.CutPrefix(w, "+")
			// What a pattern fits is not known here: it is taken to fit.
			return w == "all" || w == name || strings.HasPrefix(w, "/") || slices.Contains(more, w) || isGroup && slices.Contains(groups, group)
		})
	}
	same := []string{}
	if login == database {
		same = append(same, "sameuser")
	}
	if slices.Contains(groups, database) {
		same = append(same, "samerole", "samegroup")
	}
	return named(l.Databases, database, same...) && named(l.Users, login)
}

// network gives the addresses of a line; ok is false for names and for the words
// that stand for networks of the server's.
func (l *hbaLine) network() (all bool, network netip.Prefix, ok bool) {
	if l.Address == nil {
		return false, netip.Prefix{}, false
	}
	if *l.Address == "all" {
		return true, netip.Prefix{}, true
	}
	addr, err := netip.ParseAddr(*l.Address)
	if err != nil || l.Netmask == nil {
		return false, netip.Prefix{}, false
	}
	mask, err := netip.ParseAddr(*l.Netmask)
	if err != nil {
		return false, netip.Prefix{}, false
	}
	bits := 0
	for _, b := range mask.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	return false, netip.PrefixFrom(addr, bits), true
}

// judgeHBA walks the lines as the server does, for each login: the first that
// fits decides. What lets a login in from elsewhere than pgveil is a finding,
// unless a line before refuses all who would come to it.
func judgeHBA(lines []hbaLine, groups map[string][]string, database string, site Site) []Finding {
	found := map[string][]string{} // by the line, the logins
	trusted := map[string][]string{}
	about := map[string]hbaLine{}
	var order []string
	for _, login := range slices.Concat(site.ours(), site.Assumed) {
		if groups[login] == nil {
			continue // there is no such role
		}
		var local, host bool // closed
		for _, l := range lines {
			if !l.fits(login, database, groups[login]) {
				continue
			}
			all, network, known := l.network()
			switch {
			case l.Type == "local" && l.Method == "reject":
				local = true
			case l.Method == "reject":
				host = host || l.Type == "host" && all
			case l.Type == "local" && (local || site.Unix && l.Method != "trust"), l.Type != "local" && host:
			case l.Type != "local" && known && !all && l.Method != "trust" && site.comesFrom(network):
			default:
				into := found
				if l.Method == "trust" && (l.Type == "local" && site.Unix || known && !all && site.comesFrom(network)) {
					into = trusted
				}
				if _, seen := about[l.Where]; !seen {
					about[l.Where] = l
					order = append(order, l.Where)
				}
				into[l.Where] = append(into[l.Where], login)
			}
			local = local || l.Type == "local" // later ones are never reached
			host = host || l.Type == "host" && all
		}
	}
	var all []Finding
	for _, where := range order {
		l := about[where]
		if logins := found[where]; logins != nil {
			all = append(all, Finding{ID: "hba-line", Severity: Open, Object: where, Hand: []string{"put the lines of \"pgveil harden --hba\" before it"},
				Says: fmt.Sprintf("lets %s in from %s, where pgveil is not", strings.Join(logins, ", "), l.from())})
		}
		if logins := trusted[where]; logins != nil {
			all = append(all, Finding{ID: "hba-trust", Severity: Weak, Object: where, Hand: []string{"let pgveil prove itself: scram-sha-256 or cert"},
				Says: fmt.Sprintf("takes the word of whoever comes from %s for being %s", l.from(), strings.Join(logins, ", "))})
		}
	}
	return all
}

func (l *hbaLine) from() string {
	if l.Address == nil {
		return "the server's own machine"
	}
	if _, network, ok := l.network(); ok && network.IsValid() {
		return network.String()
	}
	return *l.Address
}

// comesFrom tells whether pgveil is all that is in a network.
func (s *Site) comesFrom(n netip.Prefix) bool {
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Bits() <= n.Bits() && p.Contains(n.Addr()) })
}

// HBA gives the lines for pg_hba.conf, to stand before all others: the logins
// that pgveil comes by are let in from where it is, and from nowhere else. Roles
// that sessions are put into are let in from nowhere.
func HBA(site Site, database, method string) string {
	names := quoteAll(site.ours())
	kind := "host   "
	if site.TLS {
		kind = "hostssl"
	}
	method = cmp.Or(method, "scram-sha-256")
	var b strings.Builder
	b.WriteString("# pgveil: these logins come from pgveil, and from nowhere else.\n")
	for _, p := range site.Proxies {
		fmt.Fprintf(&b, "%s %s %s %s %s\n", kind, quoteHBA(database), names, p, method)
	}
	rejected := names
	if site.Unix {
		fmt.Fprintf(&b, "local   %s %s %s\n", quoteHBA(database), names, method)
		rejected = quoteAll(site.Assumed)
	} else if len(site.Assumed) > 0 {
		rejected += "," + quoteAll(site.Assumed)
	}
	if rejected != "" {
		fmt.Fprintf(&b, "local   %s %s reject\n", quoteHBA(database), rejected)
	}
	fmt.Fprintf(&b, "host    %s %s all reject\n", quoteHBA(database), quoteAll(slices.Concat(site.ours(), site.Assumed)))
	return b.String()
}

// quoteHBA quotes a name for pg_hba.conf: quoted, it is no keyword, and names no
// group or file. A quote within is written twice.
func quoteHBA(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteAll(all []string) string {
	quoted := make([]string, len(all))
	for i, n := range all {
		quoted[i] = quoteHBA(n)
	}
	return strings.Join(quoted, ",")
}
