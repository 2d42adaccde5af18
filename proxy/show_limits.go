package proxy

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// describeLimits says how somebody's limits stand.
func (s *session) describeLimits(ctx context.Context, who *policy.Access) ([][]string, error) {
	if s.srv.book == nil && len(who.Limits.Each) > 0 {
		return nil, privacy.Fail(privacy.NotAvailable, "", "nothing is counted here")
	}
	var windows, session, query []limits.Limit
	for _, l := range who.Limits.Each {
		limit := s.limitOf(who, l)
		switch l.Per {
		case policy.PerQuery:
			query = append(query, limit)
		case policy.PerSession:
			session = append(session, limit)
		default:
			windows = append(windows, limit)
		}
	}
	var stand []limits.Reached
	if len(windows) > 0 {
		var err error
		if stand, err = s.srv.book.Look(ctx, windows); err != nil {
			s.log.Error("limits cannot be looked at", "err", err)
			return nil, privacy.Fail(privacy.NotAvailable, "an operator must look at it", "what you got cannot be counted")
		}
	}
	if len(session) > 0 {
		stand = slices.Concat(stand, s.tally.Stand(session))
	}
	var rows [][]string
	for _, r := range stand {
		rows = append(rows, s.describeLimit(r, who))
	}
	for _, l := range query {
		rows = append(rows, []string{l.Limit.String(), "each query", "", strconv.FormatInt(l.Most, 10), "", l.Then.String()})
	}
	return rows, nil
}

func (s *session) describeLimit(r limits.Reached, who *policy.Access) []string {
	of, again, then := r.Limit.Whose.String()+" "+r.Limit.Counter.Who, "", r.Limit.Then.String()
	if r.Limit.Per == policy.PerSession {
		of = "session"
	}
	if !r.Again.IsZero() {
		again = r.Again.UTC().Format(time.DateTime) + " UTC"
	}
	if lifted(who, r.Limit.Then) {
		then += ", which is done"
	}
	return []string{r.Limit.Limit.String(), of, strconv.FormatInt(r.Used, 10), strconv.FormatInt(r.Left(), 10), again, then}
}
