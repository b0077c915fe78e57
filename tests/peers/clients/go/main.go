// msal-go and azidentity as clients of an authority and of a managed identity, golang.org/x/oauth2 as one of tokend's token endpoint.
// What is asked and answered: ../README.md.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"golang.org/x/oauth2"

	"tokend.test/clients/tokens"
)

type request struct {
	Library, Flow, Host, Tenant, Scope, Secret, Assertion, Username, Password string

	CaFile          string `json:"ca_file"`
	ClientID        string `json:"client_id"`
	KeyPem          string `json:"key_pem"`
	CertificatePem  string `json:"certificate_pem"`
	ClientAssertion string `json:"client_assertion"`
	RedirectURI     string `json:"redirect_uri"`
	RefreshToken    string `json:"refresh_token"`
}

// A browser is started by name: this program is linked under that name, and hands the address back through a pipe.
const pipe = "TOKEND_PEERS_BROWSER"

func main() {
	if path := os.Getenv(pipe); path != "" && len(os.Args) == 2 && filepath.Base(os.Args[0]) == "xdg-open" {
		check(os.WriteFile(path, []byte(os.Args[1]+"\n"), 0o600))
		return
	}
	var asked request
	check(json.Unmarshal([]byte(os.Args[1]), &asked))
	if asked.Library == "x-oauth2" {
		answer, err := asked.oauth(context.Background())
		check(err)
		say(map[string]any{"answer": answer})
		return
	}
	token, err := asked.token(context.Background())
	check(err)
	say(map[string]any{"token": token})
}

func check(err error) {
	if err != nil {
		say(map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}

func say(line map[string]any) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

// trusting returns an HTTP client that takes certificates of this CA and no other.
func trusting(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

// signIn has the user sign in at this address; it returns where the browser came back to.
func signIn(address string) (*url.URL, error) {
	say(map[string]any{"url": address})
	line := bufio.NewScanner(os.Stdin)
	if !line.Scan() {
		return nil, errors.New("nobody signed in")
	}
	return url.Parse(line.Text())
}

func (asked *request) token(ctx context.Context) (string, error) {
	if asked.Flow == "identity" || asked.Flow == "default" {
		return asked.identity(ctx)
	}
	client, err := trusting(asked.CaFile)
	if err != nil {
		return "", err
	}
	if asked.Library == "msal-go" {
		return asked.msal(ctx, client)
	}
	credential, err := asked.azidentity(client)
	if err != nil {
		return "", err
	}
	got, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{asked.Scope}})
	return got.Token, err
}

// === a managed identity: where its token is asked for is the environment's to say ===

func (asked *request) identity(ctx context.Context) (string, error) {
	if asked.Library == "msal-go" {
		var id managedidentity.ID = managedidentity.SystemAssigned()
		if asked.ClientID != "" {
			id = managedidentity.UserAssignedClientID(asked.ClientID)
		}
		client, err := managedidentity.New(id)
		if err != nil {
			return "", err
		}
		got, err := client.AcquireToken(ctx, strings.TrimSuffix(asked.Scope, "/.default"))
		return got.AccessToken, err
	}
	credential, err := asked.azidentityOfMachine()
	if err != nil {
		return "", err
	}
	got, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{asked.Scope}})
	return got.Token, err
}

func (asked *request) azidentityOfMachine() (azcore.TokenCredential, error) {
	if asked.Flow == "default" {
		return azidentity.NewDefaultAzureCredential(nil)
	}
	var options azidentity.ManagedIdentityCredentialOptions
	if asked.ClientID != "" {
		options.ID = azidentity.ClientID(asked.ClientID)
	}
	return azidentity.NewManagedIdentityCredential(&options)
}

// === golang.org/x/oauth2 ===

func (asked *request) oauth(ctx context.Context) (map[string]any, error) {
	var token *oauth2.Token
	var err error
	switch asked.Flow {
	case "app":
		token, err = tokens.OfApp(ctx, asked.Scope).Token()
	case "code":
		address, remembered := tokens.SignIn(asked.Scope)
		var back *url.URL
		if back, err = signIn(address); err == nil {
			token, err = tokens.SignedIn(ctx, back, remembered)
		}
	case "refresh":
		token, err = tokens.OfUser(ctx, asked.RefreshToken).Token()
	default:
		err = errors.New("no such flow: " + asked.Flow)
	}
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"access_token": token.AccessToken, "token_type": token.TokenType, "expires_in": token.ExpiresIn}
	if token.RefreshToken != "" {
		answer["refresh_token"] = token.RefreshToken
	}
	for _, name := range []string{"scope", "id_token"} {
		if value := token.Extra(name); value != nil {
			answer[name] = value
		}
	}
	return answer, nil
}

// === msal-go ===

func (asked *request) msal(ctx context.Context, client *http.Client) (string, error) {
	scopes := []string{asked.Scope}
	authority := "https://" + asked.Host + "/" + asked.Tenant
	switch asked.Flow {
	case "device", "password", "interactive":
		// Ours is not in Microsoft's list of clouds.
		app, err := public.New(asked.ClientID, public.WithAuthority(authority), public.WithHTTPClient(client),
			public.WithInstanceDiscovery(false))
		if err != nil {
			return "", err
		}
		var got public.AuthResult
		switch asked.Flow {
		case "device":
			var code public.DeviceCode
			if code, err = app.AcquireTokenByDeviceCode(ctx, scopes); err != nil {
				return "", err
			}
			say(map[string]any{"user_code": code.Result.UserCode})
			got, err = code.AuthenticationResult(ctx)
		case "password":
			got, err = app.AcquireTokenByUsernamePassword(ctx, scopes, asked.Username, asked.Password)
		default:
			// Listens on a port of its own choice.
			open := func(address string) error {
				say(map[string]any{"url": address, "listens": true})
				return nil
			}
			got, err = app.AcquireTokenInteractive(ctx, scopes, public.WithOpenURL(open))
		}
		return got.AccessToken, err
	}
	credential, err := asked.msalCredential()
	if err != nil {
		return "", err
	}
	app, err := confidential.New(authority, asked.ClientID, credential, confidential.WithHTTPClient(client),
		confidential.WithInstanceDiscovery(false))
	if err != nil {
		return "", err
	}
	var got confidential.AuthResult
	switch asked.Flow {
	case "secret", "certificate", "federated":
		got, err = app.AcquireTokenByCredential(ctx, scopes)
	case "obo":
		got, err = app.AcquireTokenOnBehalfOf(ctx, asked.Assertion, scopes)
	case "code":
		address, err := app.AuthCodeURL(ctx, asked.ClientID, asked.RedirectURI, scopes)
		if err != nil {
			return "", err
		}
		back, err := signIn(address)
		if err != nil {
			return "", err
		}
		got, err = app.AcquireTokenByAuthCode(ctx, back.Query().Get("code"), asked.RedirectURI, scopes)
		return got.AccessToken, err
	default:
		err = errors.New("no such flow: " + asked.Flow)
	}
	return got.AccessToken, err
}

func (asked *request) msalCredential() (confidential.Credential, error) {
	switch {
	case asked.KeyPem != "":
		certificates, key, err := confidential.CertFromPEM([]byte(asked.KeyPem+"\n"+asked.CertificatePem), "")
		if err != nil {
			return confidential.Credential{}, err
		}
		return confidential.NewCredFromCert(certificates, key)
	case asked.ClientAssertion != "":
		assertion := func(context.Context, confidential.AssertionRequestOptions) (string, error) {
			return asked.ClientAssertion, nil
		}
		return confidential.NewCredFromAssertionCallback(assertion), nil
	}
	return confidential.NewCredFromSecret(asked.Secret)
}

// === azidentity ===

func (asked *request) azidentity(client *http.Client) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: "https://" + asked.Host},
		Transport: client,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
	switch asked.Flow {
	case "secret":
		return azidentity.NewClientSecretCredential(asked.Tenant, asked.ClientID, asked.Secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case "certificate":
		certificates, key, err := azidentity.ParseCertificates([]byte(asked.KeyPem+"\n"+asked.CertificatePem), nil)
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(asked.Tenant, asked.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case "federated":
		assertion := func(context.Context) (string, error) { return asked.ClientAssertion, nil }
		return azidentity.NewClientAssertionCredential(asked.Tenant, asked.ClientID, assertion,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case "obo":
		return azidentity.NewOnBehalfOfCredentialWithSecret(asked.Tenant, asked.ClientID, asked.Assertion, asked.Secret,
			&azidentity.OnBehalfOfCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case "code":
		// It has no other way to a code than a browser, whose answer it listens for itself.
		if err := asBrowser(); err != nil {
			return nil, err
		}
		return azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: true, ClientID: asked.ClientID, TenantID: asked.Tenant})
	case "device":
		prompt := func(_ context.Context, message azidentity.DeviceCodeMessage) error {
			say(map[string]any{"user_code": message.UserCode})
			return nil
		}
		return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: true, ClientID: asked.ClientID, TenantID: asked.Tenant, UserPrompt: prompt})
	case "password":
		//nolint:staticcheck // Deprecated, and still what users have.
		return azidentity.NewUsernamePasswordCredential(asked.Tenant, asked.ClientID, asked.Username, asked.Password,
			&azidentity.UsernamePasswordCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
	return nil, errors.New("no such flow: " + asked.Flow)
}

// asBrowser puts this program before everything in PATH as the command that opens pages, and says which page it was asked for.
func asBrowser() error {
	folder, err := os.MkdirTemp("", "browser")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The library asks for these in turn.
	if err := os.Symlink(self, filepath.Join(folder, "xdg-open")); err != nil {
		return err
	}
	path := filepath.Join(folder, "pages")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return err
	}
	os.Setenv(pipe, path)
	os.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	go func() {
		defer os.RemoveAll(folder)
		file, err := os.Open(path)
		if err != nil {
			return
		}
		line := bufio.NewScanner(file)
		if line.Scan() {
			say(map[string]any{"url": line.Text(), "listens": true})
		}
	}()
	return nil
}
