// Package tokens gets tokens by golang.org/x/oauth2.
package tokens

import (
	"context"
	"errors"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Users sign in at the authority; every token comes from tokend. The client id is the one that the authority knows this application
// by. The secret is the caller's token, and no secret of the authority's.
var users = oauth2.Config{
	ClientID:     os.Getenv("CLIENT_ID"),
	ClientSecret: os.Getenv("CALLER_TOKEN"),
	RedirectURL:  os.Getenv("REDIRECT_URI"),
	Endpoint: oauth2.Endpoint{
		AuthURL:  os.Getenv("AUTHORIZE_URL"),
		TokenURL: os.Getenv("TOKEND_URL") + "/oauth2/token",
		// Said, because it is found out by a refused request otherwise.
		AuthStyle: oauth2.AuthStyleInHeader,
	},
}

// Remembered is what the user's session holds until the browser is back.
type Remembered struct{ Scope, State, Verifier string }

// OfApp returns a source of the application's own tokens, each for as long as it lasts.
func OfApp(ctx context.Context, scope string) oauth2.TokenSource {
	config := clientcredentials.Config{
		ClientID: users.ClientID, ClientSecret: users.ClientSecret,
		TokenURL: users.Endpoint.TokenURL, AuthStyle: users.Endpoint.AuthStyle,
		Scopes: []string{scope},
	}
	return config.TokenSource(ctx)
}

// SignIn returns where the browser goes.
func SignIn(scope string) (string, Remembered) {
	remembered := Remembered{Scope: scope, State: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier()}
	address := users.AuthCodeURL(remembered.State, oauth2.S256ChallengeOption(remembered.Verifier),
		oauth2.SetAuthURLParam("scope", scope))
	return address, remembered
}

// SignedIn redeems the code that the browser came back with.
func SignedIn(ctx context.Context, callback *url.URL, remembered Remembered) (*oauth2.Token, error) {
	query := callback.Query()
	if query.Get("state") != remembered.State {
		return nil, errors.New("the answer is to another sign-in")
	}
	// The scope is named again: tokend has not seen the address that the browser went to.
	return users.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(remembered.Verifier),
		oauth2.SetAuthURLParam("scope", remembered.Scope))
}

// OfUser returns a source of the user's tokens, each for as long as it lasts. It names no scope: tokend knows what the handle is for.
// Every new token has a new handle in RefreshToken, to be kept in place of the old one.
func OfUser(ctx context.Context, handle string) oauth2.TokenSource {
	return users.TokenSource(ctx, &oauth2.Token{RefreshToken: handle})
}
