package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRules reads rules, and tells every problem that they have.
func TestRules(t *testing.T) {
	const one = "{from: all, users: all, databases: all, method: scram}"
	rules := func(lines ...string) string {
		return strings.Replace(good, "auth: {method: scram}", "auth:\n  rules:\n    - "+strings.Join(lines, "\n    - "), 1)
	}
	withCA := func(text string) string {
		return strings.Replace(text, "key: server.key", "key: server.key, client_ca: ca.crt, client_certs: optional", 1)
	}
	inClear := func(text string) string {
		return strings.Replace(text, "tls: {cert: server.crt, key: server.key}\n", "", 1)
	}
	for _, tt := range []struct {
		name, text string
		want       []string // nothing: it is right
	}{
		{"one for all", rules(one), nil},
		{"lists", rules("{from: [10.0.0.0/8, unix, '::1', 192.0.2.1], users: [alice, crm_app], databases: [crm], tls: required, method: passthrough, because: x}"), nil},
		{"in order", rules("{from: 10.1.0.0/16, users: alice, databases: all, method: scram}", "{from: 10.0.0.0/8, users: alice, databases: all, method: passthrough}", "{from: all, users: all, databases: [all, replication], method: reject}"), nil},
		{"a certificate", withCA(rules("{from: all, users: all, databases: all, method: cert}")), nil},
		{"a demand of its own", withCA(rules("{from: all, users: all, databases: all, method: scram, client_certs: verify-full}")), nil},
		{"trust at home", inClear(rules("{from: [unix, loopback], users: all, databases: all, tls: any, method: trust}")), nil},
		{"no rule", strings.Replace(good, "{method: scram}", "{rules: []}", 1), []string{"auth.rules: is empty"}},
		{"nothing where rules should be", strings.Replace(good, "{method: scram}", "{rules: }", 1), []string{"auth.rules: is empty"}},
		{"rules and a method", strings.Replace(good, "{method: scram}", "{method: scram, rules: ["+one+"]}", 1), []string{"auth.method: has no meaning beside auth.rules"}},
		{"an unknown key", rules("{from: all, user: all, databases: all, method: scram}"), []string{"user"}},
		{"an empty rule", rules("{}"), []string{"auth.rules[0].from: is missing", "auth.rules[0].users: is missing", "auth.rules[0].databases: is missing", `auth.rules[0].method: "" is not one of`}},
		{"empty lists", rules("{from: [], users: [''], databases: [], method: scram}"), []string{"[0].from: is missing", "[0].users: is missing", "[0].databases: is missing"}},
		{"a name in place of an address", rules("{from: localhost, users: all, databases: all, method: scram}"), []string{`auth.rules[0].from: "localhost" is not an address`}},
		{"the second rule's", rules("{from: unix, users: all, databases: all, method: scram}", "{from: 10.0.0.0/33, users: all, databases: all, method: scram}"), []string{`auth.rules[1].from: "10.0.0.0/33"`}},
		{"bits beyond the mask", rules("{from: 10.0.0.1/8, users: all, databases: all, method: scram}"), []string{`"10.0.0.1/8" is not a network: 10.0.0.0/8 is`}},
		{"IPv4 within IPv6", rules("{from: '::ffff:10.0.0.0/104', users: all, databases: all, method: scram}"), []string{"is IPv4: write it so"}},
		{"a zone", rules("{from: 'fe80::1%eth0', users: all, databases: all, method: scram}"), []string{"has a zone"}},
		{"trust for others", rules("{from: [unix, 10.0.0.0/8], users: all, databases: all, method: trust}"), []string{"[0].method: trust is for unix and loopback only"}},
		{"trust for all", rules("{from: all, users: all, databases: all, method: trust}"), []string{"[0].method: trust is for unix and loopback only"}},
		{"trust in a network with the loopback", rules("{from: 0.0.0.0/0, users: all, databases: all, method: trust}"), []string{"[0].method: trust is for unix and loopback only"}},
		{"a method that is none", rules("{from: all, users: all, databases: all, method: md5}"), []string{`[0].method: "md5" is not one of`}},
		{"TLS that there is not", inClear(rules(one)), []string{"[0].tls: is required unless it says any, and there is no tls.cert"}},
		{"clear that there is not", rules("{from: all, users: all, databases: all, tls: any, method: scram}"), []string{"[0].tls: any lets nobody in in clear"}},
		{"a word for TLS", rules("{from: all, users: all, databases: all, tls: yes, method: scram}"), []string{"[0].tls: \"yes\" is not one of"}},
		{"certificates of nobody", rules("{from: all, users: all, databases: all, method: cert}"), []string{"[0].method: cert needs tls.client_ca"}},
		{"certificates of sockets", withCA(rules("{from: [unix], users: all, databases: all, method: cert}")), []string{"[0].from: unix sockets are without TLS"}},
		{"a demand without an authority", rules("{from: all, users: all, databases: all, method: scram, client_certs: verify-ca}"), []string{"[0].client_certs: needs tls.client_ca"}},
		{"a demand in clear", inClear(rules("{from: all, users: all, databases: all, tls: any, method: scram, client_certs: verify-ca}")), []string{"[0].client_certs: verify-ca asks nothing of connections in clear"}},
		{"a demand beside cert", withCA(rules("{from: all, users: all, databases: all, method: cert, client_certs: optional}")), []string{"[0].client_certs: has no meaning beside cert"}},
		{"a rule behind all", rules(one, "{from: 10.0.0.0/8, users: alice, databases: all, method: reject}"), []string{"auth.rules[1]: never decides: auth.rules[0] fits every login"}},
		{"a rule behind a wider one", rules("{from: 10.0.0.0/8, users: [alice, bob], databases: all, method: scram}", "{from: 10.2.0.0/16, users: bob, databases: crm, method: reject}"), []string{"auth.rules[1]: never decides: auth.rules[0]"}},
		{"replication behind all", rules(one, "{from: all, users: all, databases: replication, method: reject}"), nil},
		{"loopback behind all", rules(one, "{from: loopback, users: all, databases: all, method: scram}"), []string{"auth.rules[1]: never decides"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, tt.text))
			if len(tt.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Load = %v, which does not say %q", err, want)
				}
			}
		})
	}
}

func TestVerifiers(t *testing.T) {
	for _, tt := range []struct {
		auth string
		want string // where verifiers are, or the error
	}{
		{"{}", "server"},
		{"{users: u}", "file"},
		{"{users: u, verifiers: file-then-server}", "file-then-server"},
		{"{users: u, verifiers: server}", "auth.users: is not read"},
		{"{verifiers: file}", "auth.users: is missing"},
		{"{verifiers: files}", `auth.verifiers: "files" is not one of`},
		{"{keep: -1s}", "auth.keep: must not be negative"},
	} {
		c, err := Load(write(t, strings.Replace(good, "{method: scram}", tt.auth, 1)))
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("auth: %s: %v, want %q", tt.auth, err, tt.want)
			}
			continue
		}
		if c.Auth.Verifiers != tt.want || c.Auth.Method != "scram" {
			t.Errorf("auth: %s: verifiers are of %q, method %q, want %q", tt.auth, c.Auth.Verifiers, c.Auth.Method, tt.want)
		}
	}
}

func TestCertUsers(t *testing.T) {
	for _, tt := range []struct{ tls, want string }{
		{"client_ca: ca, client_certs: optional, crl: list, cert_users: [{match: 'cn:A: B', user: a}, {match: 'uri:spiffe://x/y', user: b}]", ""},
		{"client_ca: ca, client_certs: optional, crl: [a, '']", "tls.crl: names no file"},
		{"crl: list", "tls.crl: has no meaning without client_ca"},
		{"cert_users: [{match: 'cn:a', user: a}]", "tls.cert_users: has no meaning without client_ca"},
		{"client_ca: ca, client_certs: optional, cert_users: []", "tls.cert_users: is empty"},
		{"client_ca: ca, client_certs: optional, cert_users: ", "tls.cert_users: is empty"},
		{"client_ca: ca, client_certs: optional, cert_users: [{match: a, user: a}]", "tls.cert_users[0].match: \"a\" is not a name like"},
		{"client_ca: ca, client_certs: optional, cert_users: [{match: 'CN:a', user: a}]", "tls.cert_users[0].match"},
		{"client_ca: ca, client_certs: optional, cert_users: [{match: 'dns:', user: a}]", "tls.cert_users[0].match"},
		{"client_ca: ca, client_certs: optional, cert_users: [{match: 'dns:a'}]", "tls.cert_users[0].user: is missing"},
	} {
		path := write(t, strings.Replace(good, "key: server.key", "key: server.key, "+tt.tls, 1))
		c, err := Load(path)
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("tls: %s: %v, want %q", tt.tls, err, tt.want)
		}
		if tt.want != "" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if kind, name, err := c.TLS.CertUsers[0].Name(); kind != "cn" || name != "A: B" || err != nil || c.TLS.CRL[0] != filepath.Join(filepath.Dir(path), "list") {
			t.Errorf("read as %q %q, %v, with the list %q", kind, name, err, c.TLS.CRL[0])
		}
	}
}

func TestGuard(t *testing.T) {
	for _, tt := range []struct{ guard, want string }{
		{"{}", ""},
		{"{off: true}", ""},
		{"{pair: {failures: 3}, network: {failures: 0}}", ""},
		{"{pair: {failures: -1}}", "auth.guard.pair.failures: must not be negative"},
		{"{address: {every: 0s}}", "auth.guard.address.every: must be positive"},
		{"{ipv4: 0, ipv6: 129}", "auth.guard.ipv6: 129 is not a number"},
		{"{entries: 1}", "auth.guard.entries: 1 is not a number"},
		{"{suspect: -1}", "auth.guard.suspect"},
		{"{slow: -1s}", "auth.guard: slow and known must not be negative"},
		{"{pairs: {}}", "pairs"},
	} {
		c, err := Load(write(t, strings.Replace(good, "{method: scram}", "{guard: "+tt.guard+"}", 1)))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("guard: %s: %v, want %q", tt.guard, err, tt.want)
		}
		if err == nil && (c.Auth.Guard.Pair.Every != time.Minute || c.Auth.Guard.Entries != 20_000 || c.Limits.PerAddress != 100) {
			t.Errorf("guard: %s: defaults are gone: %+v", tt.guard, c.Auth.Guard)
		}
	}
}
