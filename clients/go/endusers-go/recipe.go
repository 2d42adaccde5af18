package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// As runs work in a transaction that is the user's.
func As(ctx context.Context, pool *pgxpool.Pool, u User, work func(pgx.Tx) error) error {
	now := time.Now().Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "crm", "aud": "pgveil",
		"sub": u.Name, "roles": u.Roles, "attributes": u.Attributes,
		"jti": rand.Text(), "iat": now, "exp": now + 60, "transaction": true}).SignedString(key)
	if err != nil {
		return err
	}
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL pgveil.token = '" + token + "'"}, work)
}
