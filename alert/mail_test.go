package alert

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// postOffice speaks SMTP, and keeps what it is given.
type postOffice struct {
	tls      *tls.Config
	offers   []string          // the extensions that it names
	password string            // of veil; "": nobody need log in
	replies  map[string]string // to lines that begin so, in place of its own
	implicit bool

	mu      sync.Mutex
	letters []string // to whom, and the text
	lines   []string // what it was told, before TLS
}

// hold holds a dialogue.
func (p *postOffice) hold(c net.Conn) {
	defer func() { c.Close() }()
	r := bufio.NewReader(c)
	secure := p.implicit
	say := func(line string) bool { _, err := io.WriteString(c, line+"\r\n"); return err == nil }
	if secure {
		c = tls.Server(c, p.tls)
		r = bufio.NewReader(c)
	}
	say("220 post.example")
	var to string
	in := p.password == ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if !secure {
			p.mu.Lock()
			p.lines = append(p.lines, line)
			p.mu.Unlock()
		}
		if own := p.reply(line); own != "" {
			if own != silent {
				say(own)
			}
			continue
		}
		switch verb, rest, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			say("250-post.example")
			for _, o := range p.offers {
				say("250-" + o)
			}
			say("250 HELP")
		case "STARTTLS":
			say("220 go on")
			c = tls.Server(c, p.tls)
			r, secure = bufio.NewReader(c), true
		case "AUTH":
			want := "PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00veil\x00"+p.password))
			if in = rest == want; !in {
				say("535 no")
				continue
			}
			say("235 yes")
		case "MAIL":
			if !in {
				say("530 log in")
				continue
			}
			say("250 ok")
		case "RCPT":
			to = rest
			say("250 ok")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for line, err := r.ReadString('\n'); line != ".\r\n"; line, err = r.ReadString('\n') {
				if err != nil {
					return
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			p.mu.Lock()
			p.letters = append(p.letters, to+"\n"+text.String())
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default: // NOOP, RSET
			say("250 ok")
		}
	}
}

// silent is a reply that is none.
const silent = "-"

func (p *postOffice) reply(line string) string {
	for begin, own := range p.replies {
		if strings.HasPrefix(line, begin) {
			return own
		}
	}
	return ""
}

func (p *postOffice) open(t *testing.T) *Mail {
	host, port := split(t, serve(t, listen(t), p.hold))
	return &Mail{
		Host: host, Port: port, Security: StartTLS, From: "veil@example.org", To: []string{"anna@example.org", "ben@example.org"}, Hello: "veil.example",
		User: "veil", Password: func() (string, error) { return "sesame", nil },
	}
}

// TestMail sends letters in each way that is allowed, and reads them as a mail
// program would: what hostile text there is stays in the body.
func TestMail(t *testing.T) {
	a := newAuthority(t)
	for _, tt := range []struct {
		name string
		p    *postOffice
		s    Security
	}{
		{"starttls", &postOffice{offers: []string{"STARTTLS"}}, StartTLS},
		{"starttls with a password", &postOffice{offers: []string{"STARTTLS", "AUTH PLAIN"}, password: "sesame"}, StartTLS},
		{"tls", &postOffice{offers: []string{"AUTH PLAIN LOGIN"}, password: "sesame", implicit: true}, ImplicitTLS},
		{"in clear", &postOffice{offers: []string{"8BITMIME"}}, InClear},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.p
			p.tls = a.server(t)
			m := p.open(t)
			m.Security, m.TLS = tt.s, a.client()
			if p.password == "" {
				m.User = ""
			}
			if err := send(t, m, cruel(), 5*time.Second); err != nil {
				t.Fatal(err)
			}
			if err := send(t, m, cruel(), 5*time.Second); err != nil { // nobody gets it twice
				t.Fatal(err)
			}
			if len(p.letters) != 2 {
				t.Fatalf("%d letters", len(p.letters))
			}
			for i, letter := range p.letters {
				checkLetter(t, letter, m.To[i])
			}
		})
	}
}

func checkLetter(t *testing.T, letter, to string) {
	t.Helper()
	envelope, text, _ := strings.Cut(letter, "\n")
	if !strings.HasPrefix(envelope, "TO:<"+to+">") {
		t.Errorf("it is for %q", envelope)
	}
	got, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	h := got.Header
	if h.Get("Subject") != "[pgveil] warning: login_lockout on veil.example" || h.Get("To") != "<"+to+">" || h.Get("From") != "<veil@example.org>" ||
		h.Get("Message-Id") != "<alert_1@veil.example>" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Bcc") != "" {
		t.Errorf("its header is %v", h)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
	if err != nil || h.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Fatal(err, h)
	}
	for _, want := range []string{"times:       3, since 2001-09-09T01:46:40Z", "n:           -7", "any:         (left out)", "means:       " + Meaning("login_lockout")} {
		if !slices.Contains(strings.Split(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n"), want) {
			t.Errorf("it has no line %q:\n%s", want, body)
		}
	}
}

// TestMailRefuses has servers that are not as they should be.
func TestMailRefuses(t *testing.T) {
	a := newAuthority(t)
	for _, tt := range []struct {
		name string
		p    *postOffice
		mail func(*Mail)
		want string
	}{
		{"no TLS offered", &postOffice{offers: []string{"8BITMIME"}}, func(*Mail) {}, "STARTTLS"},
		{"TLS refused", &postOffice{offers: []string{"STARTTLS"}, replies: map[string]string{"STARTTLS": "454 no"}}, func(*Mail) {}, "454"},
		{"another authority", &postOffice{offers: []string{"STARTTLS"}}, func(m *Mail) { m.TLS = newAuthority(t).client() }, "certificate"},
		{"another name", &postOffice{offers: []string{"STARTTLS"}}, func(m *Mail) { m.TLS.ServerName = "post.example" }, "certificate"},
		{"a wrong password", &postOffice{offers: []string{"STARTTLS", "AUTH PLAIN"}, password: "other"}, func(*Mail) {}, "535"},
		{"no logins", &postOffice{offers: []string{"STARTTLS"}}, func(*Mail) {}, "AUTH"},
		{"a password in clear", &postOffice{offers: []string{"AUTH PLAIN"}, password: "sesame"}, func(m *Mail) { m.Security = InClear }, "in clear"},
		{"nothing said", &postOffice{}, func(m *Mail) { m.Security = 0 }, "protected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.p
			p.tls = a.server(t)
			m := p.open(t)
			m.TLS = a.client()
			tt.mail(m)
			err := send(t, m, cruel(), 5*time.Second)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, new(*Refused)) != (tt.want == "535") {
				t.Errorf("Send = %v, want %q", err, tt.want)
			}
			if len(p.letters) > 0 {
				t.Errorf("there are letters")
			}
			for _, line := range p.lines {
				if strings.HasPrefix(line, "AUTH") || strings.HasPrefix(line, "MAIL") {
					t.Errorf("in clear it was told %q", line)
				}
			}
		})
	}
}

// TestMailSomeTaken has a server refuse one of the recipients. The other has the
// letter, once.
func TestMailSomeTaken(t *testing.T) {
	for code, last := range map[int]bool{450: false, 550: true} {
		p := &postOffice{offers: []string{"8BITMIME"}, replies: map[string]string{"RCPT TO:<anna": fmt.Sprint(code, " no")}}
		m := p.open(t)
		m.Security, m.User = InClear, ""
		for range 2 {
			err := send(t, m, cruel(), 5*time.Second)
			if err == nil || errors.As(err, new(*Refused)) != last || !strings.Contains(err.Error(), "anna") {
				t.Errorf("%d: Send = %v", code, err)
			}
		}
		if len(p.letters) != 1 || !strings.HasPrefix(p.letters[0], "TO:<ben") {
			t.Errorf("%d: the letters are %q", code, p.letters)
		}
	}
}

// TestMailHungAfter has a server take a letter and say nothing more. It is taken,
// and not sent again.
func TestMailHungAfter(t *testing.T) {
	for _, at := range []string{"RSET", "QUIT"} {
		p := &postOffice{offers: []string{"8BITMIME"}, replies: map[string]string{at: silent}}
		m := p.open(t)
		m.Security, m.User, m.To = InClear, "", m.To[:1]
		for range 2 {
			if err := send(t, m, cruel(), 200*time.Millisecond); err != nil {
				t.Errorf("hung at %s: Send = %v", at, err)
			}
		}
		if len(p.letters) != 1 {
			t.Errorf("hung at %s: %d letters", at, len(p.letters))
		}
	}
}
