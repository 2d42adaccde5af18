package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// Whatever the log holds, it is text in a report, and can be seen.
func TestHostileTexts(t *testing.T) {
	for _, bad := range []string{
		hostile, "</title></svg></style><img src=x onerror=alert(1)>", "\"><script>", "{{.}}", "a\r\n\r\n# b", "https://evil.example/?q", "![x](http://evil.example)",
		"\u200b\u2066\ufeffinvisible", "\xff\xfe", "--> <!--", strings.Repeat("long ", 1000), "| --- |\n| x |", "a\u0301\u0302",
	} {
		d := &Document{Title: bad, About: []Field{{bad, bad, ""}, {bad, "", bad}}, Sections: []Section{section(bad, text(bad), warning(bad), items(bad),
			table(bad, []string{bad + "x"}, [][]string{{bad}}), Block{Chart: &Chart{bad, bad, true, []string{bad}, []Bar{{bad, []int64{3}}}}},
			Block{Chart: &Chart{bad, bad, false, []string{bad}, []Bar{{bad, []int64{3}}}}})}}
		var page, mark bytes.Buffer
		if err := d.HTML(&page); err != nil {
			t.Fatal(err)
		}
		if err := d.Markdown(&mark); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"<script", "<img", "onerror=alert(1)>", "\u202e", "\u2066", "\u200b", "\x1b", "\xff"} {
			if strings.Contains(page.String(), tag) {
				t.Errorf("%.40q: the page holds %q", bad, tag)
			}
			if strings.Contains(mark.String(), tag) {
				t.Errorf("%.40q: the Markdown holds %q", bad, tag)
			}
		}
		for _, once := range []string{"</html>", "</style>", "<main>"} {
			if strings.Count(page.String(), once) != 1 {
				t.Errorf("%.40q: the page holds %q %d times", bad, once, strings.Count(page.String(), once))
			}
		}
		if headings := strings.Count("\n"+mark.String(), "\n#"); headings != 2 {
			t.Errorf("%.40q: the Markdown has %d headings, want 2:\n%s", bad, headings, &mark)
		}
		if strings.Contains(mark.String(), "http:") || strings.Contains(mark.String(), "![") {
			t.Errorf("%.40q: the Markdown has a link:\n%s", bad, &mark)
		}
	}
}

// A page asks for nothing beside it, and runs nothing.
func TestPageIsWhole(t *testing.T) {
	f := breachStory(t).breach(Organisation{})
	var page bytes.Buffer
	if err := f.Document().HTML(&page); err != nil {
		t.Fatal(err)
	}
	if found := outside.FindString(page.String()); found != "" {
		t.Errorf("the page holds %q", found)
	}
	if !strings.Contains(page.String(), `content="default-src 'none'; style-src 'unsafe-inline'"`) {
		t.Error("the page does not forbid itself to ask for something")
	}
}

// outside finds what runs, or asks for something.
var outside = regexp.MustCompile(`(?i)<(script|link|iframe|object|embed|img|image|use|a)\b|\b(src|href|on[a-z]+)\s*=|url\(|@import`)
