package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// lookEvery is how often it is looked how far a request is.
const lookEvery = 500 * time.Millisecond

// await waits until a request has come to an end, or to where it does not go on
// by itself. The error says that it was not completed, and why.
func (o *officeCall) await(ctx context.Context, id int64, stdout, stderr io.Writer) error {
	p := progress{w: stderr, moves: isTerminal(stderr)}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		v, err := o.service.Look(ctx, id, o.by)
		if err == nil {
			p.show(v)
		}
		switch {
		case ctx.Err() != nil:
			p.end()
			return fmt.Errorf("nobody waits any more, and the work goes on: pgveil dsar show %d says how it stands", id)
		case err != nil:
			p.end()
			return err
		case !underWay(v.State):
			p.end()
			return o.ended(v, stdout)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// underWay tells whether a worker goes on with a request.
func underWay(s state.RequestState) bool {
	return s == state.RequestQueued || s == state.RequestRunning || s == state.RequestErased
}

// ended shows a request that does not go on.
func (o *officeCall) ended(v requests.View, stdout io.Writer) error {
	show := printRequests(stdout, []requests.View{v})
	if o.json {
		show = printJSON(stdout, v)
	}
	if v.State == state.RequestCompleted || show != nil {
		return show
	}
	why := cmp.Or(v.Failure, strings.Join(v.Lacks, ", "), v.Code)
	if v.State == state.RequestOpen {
		return fmt.Errorf("request %d does not run yet: it lacks %s", v.Number, why)
	}
	if why == "" {
		return fmt.Errorf("request %d is %s", v.Number, v.State)
	}
	return errors.New("request " + v.RequestID + " is " + string(v.State) + ": " + printable(why))
}

// progress shows how far a request is: in one line that changes where somebody
// looks at it, else in a line for every tenth.
type progress struct {
	w     io.Writer
	moves bool
	told  string
}

func (p *progress) show(v requests.View) {
	tenths := 0
	if v.Todo > 0 {
		tenths = int(10 * min(v.Done, v.Todo) / v.Todo)
	}
	if p.moves {
		const width = 40
		full := tenths * width / 10
		if v.Todo > 0 {
			full = int(width * min(v.Done, v.Todo) / v.Todo)
		}
		fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", width-full), line(v))
		p.told = "moved"
		return
	}
	if is := fmt.Sprint(v.State, tenths); is != p.told {
		fmt.Fprintf(p.w, "request %d: %s\n", v.Number, line(v))
		p.told = is
	}
}

func line(v requests.View) string {
	text := string(v.State)
	switch v.State {
	case state.RequestQueued:
		text = "waits for a worker"
		if v.Failure != "" {
			text = printable(v.Failure)
		}
	case state.RequestErased:
		text = "erased; the database is searched for what is left"
	}
	if v.Todo > 0 {
		text += fmt.Sprintf(", %d of %d rows", v.Done, v.Todo)
	}
	return text
}

// end leaves the line.
func (p *progress) end() {
	if p.moves && p.told != "" {
		fmt.Fprintln(p.w)
	}
}
