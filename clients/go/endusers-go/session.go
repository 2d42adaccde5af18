package main

import (
	"context"
	"crypto/rand"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InSessions makes the pool say who the context's user is, or nobody, whenever
// it hands out a connection. The last user's token is thereby gone.
func InSessions(config *pgxpool.Config) {
	config.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		token, err := Token(ctx) // "" where nobody asks
		if err == nil {
			_, err = conn.Exec(ctx, "SET pgveil.token = '"+token+"'")
		}
		return err == nil, err
	}
}

// userOf is where a request's context has its user.
type userOf struct{}

// Token signs who the context's user is.
func Token(ctx context.Context) (string, error) {
	u, ok := ctx.Value(userOf{}).(User)
	if !ok {
		return "", nil
	}
	return sign(rand.Text(), u.Name, key, jwt.MapClaims{"attributes": u.Attributes})
}
