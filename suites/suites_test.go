package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseRegress(t *testing.T) {
	log := `(using postmaster on 127.0.0.1, port 5432)
============== running regression test queries        ==============
test tablespace                   ... ok          213 ms
parallel group (2 tests):  char boolean
     boolean                      ... ok          118 ms
     char                         ... FAILED (test process exited with exit code 2)       99 ms
not ok 7     + name                                     118 ms
ok 8         - varchar                                   94 ms
 1 of 5 tests failed.
`
	want := results{
		"tablespace": {status: "ok"}, "boolean": {status: "ok"}, "varchar": {status: "ok"}, "name": {status: "not ok"},
		"char": {status: "FAILED (test process exited with exit code 2)"},
	}
	if got := parseRegress(log); !maps.Equal(got, want) {
		t.Errorf("parseRegress = %v, want %v", got, want)
	}
}

func TestInstallTests(t *testing.T) {
	for _, tt := range []struct {
		name, makefile string
		want           []string
	}{
		{"one line", "DATA = a.sql\nREGRESS = cube cube_sci\n", []string{"cube", "cube_sci"}},
		{"continued", "REGRESS = init \\\n\tmd5 \\\n\tsha1\n\nEXTRA_CLEAN = x\n", []string{"init", "md5", "sha1"}},
		{"none", "MODULES = auth_delay\n", nil},
		{"for a server of its own", "REGRESS = dml\nNO_INSTALLCHECK = 1\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := installTests(tt.makefile); !slices.Equal(got, tt.want) {
				t.Errorf("installTests = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseGoTest(t *testing.T) {
	log := `{"Action":"start","Package":"m.example/v5/conn"}
{"Action":"run","Package":"m.example/v5/conn","Test":"TestClose"}
{"Action":"output","Package":"m.example/v5/conn","Test":"TestClose","Output":"--- PASS: TestClose\n"}
{"Action":"pass","Package":"m.example/v5/conn","Test":"TestClose"}
{"Action":"skip","Package":"m.example/v5","Test":"TestAuth/../md5"}
{"Action":"pass","Package":"m.example/v5"}
{"Action":"fail","Package":"m.example/v5/conn"}
`
	want := results{"conn/TestClose": {status: "pass"}, "TestAuth/../md5": {status: "skip"}, "": {status: "pass"}, "conn": {status: "fail"}}
	got, err := parseGoTest(log, "m.example/v5")
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("parseGoTest = %v, %v, want %v", got, err, want)
	}
	if _, err := parseGoTest("panic: no JSON", "m.example/v5"); err == nil {
		t.Error("parseGoTest takes what is no JSON")
	}
}

func TestParseKnown(t *testing.T) {
	got, err := parseKnown("# heading\n\npgx/TestA/b_c  it is so\n  regress/copy because  of that\n")
	want := known{"pgx/TestA/b_c": "it is so", "regress/copy": "because  of that"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseKnown = %v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"pgx/TestA\n", "pgx/TestA \n", "a/b x\na/b y\n"} {
		if got, err := parseKnown(text); err == nil {
			t.Errorf("parseKnown(%q) = %v, want an error", text, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	list := known{"s/known": "for a reason"}
	direct := results{"a": {"ok", "x\ny\n"}, "known": {"ok", ""}}
	for _, tt := range []struct {
		name    string
		through results
		same    bool
		says    string
	}{
		{"all the same", results{"a": {"ok", "x\ny\n"}, "known": {"ok", ""}}, true, "known: the same this time"},
		{"another status", results{"a": {"failed", "x\ny\n"}, "known": {"ok", ""}}, false, "pgveil: failed"},
		{"another output", results{"a": {"ok", "x\nz\n"}, "known": {"ok", ""}}, false, "line 2, pgveil: z"},
		{"a test that was not run", results{"known": {"ok", ""}}, false, "pgveil: (not run)"},
		{"one more test", results{"a": {"ok", "x\ny\n"}, "b": {"ok", ""}, "known": {"ok", ""}}, false, "direct: (not run)"},
		{"a listed difference", results{"a": {"ok", "x\ny\n"}, "known": {"failed", ""}}, true, "as listed: for a reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, same := verdict("s", direct, tt.through, list)
			if same != tt.same || !strings.Contains(text, tt.says) {
				t.Errorf("verdict = %v and says\n%swant %v and %q", same, text, tt.same, tt.says)
			}
		})
	}
}
