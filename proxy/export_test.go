package proxy

import (
	"net/netip"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// ReadAnswer has the naming of one statement read the description and a row of
// its answer. It gives how long of both is what the client gets.
func ReadAnswer(e *rewrite.Engine, step *rewrite.Naming, description, row []byte) (described, end, shown int, err error) {
	n := &naming{engine: e, steps: []*rewrite.Naming{step}, utf8: true}
	body, err := n.describe(description)
	if err != nil {
		return 0, 0, 0, err
	}
	end, shown, err = n.row(wire.AppendFrame(nil, 'D', row))
	n.completed('C', "SELECT 1")
	return len(body), end, shown, err
}

// ResultFormats is what Bind says of results, and where.
func ResultFormats(rest []byte) (formats []int16, at int, ok bool) { return resultFormats(rest) }

// Respond is respond for the session of that id, or for none.
func (srv *Server) Respond(session string, e alert.Event, r policy.Response) {
	srv.respond(srv.sessionOf(session), e, r)
}

func (srv *Server) sessionOf(id string) *session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

// Release ends what was decided here alone.
func (srv *Server) Release(who policy.Target, name string) {
	srv.containment.drop(who, name, srv.now())
}

// Contained is who is contained, without a server.
type Contained struct {
	containment containment
	curbs       curbs
}

// NewContained contains nobody.
func NewContained() *Contained { return &Contained{} }

// Contain keeps a user and an address out, and slows the user down.
func (c *Contained) Contain(user string, from netip.Addr, d time.Duration) {
	now := time.Now()
	for _, q := range []*hold{
		{who: policy.TargetUser, name: user},
		{who: policy.TargetAddress, network: networkOf(from), name: nameOf(networkOf(from))},
	} {
		q.until = now.Add(d)
		c.containment.add(q, now)
	}
	c.curbs.add(user, policy.Response{Slow: true}, now)
}

// Concerns does what is done for a statement whose asker is decided anew.
func (c *Contained) Concerns(user string, from netip.Addr) bool {
	_, curbed := c.curbs.of(user)
	h := c.containment.now.Load()
	return curbed || h != nil && h.on(suspect{user, user, from, nil}, time.Now()) != nil
}
