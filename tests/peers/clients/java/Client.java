import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.AuthorizationCodeCredentialBuilder;
import com.azure.identity.ClientAssertionCredentialBuilder;
import com.azure.identity.ClientCertificateCredentialBuilder;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.DeviceCodeCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.identity.OnBehalfOfCredentialBuilder;
import com.azure.identity.UsernamePasswordCredentialBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.microsoft.aad.msal4j.AuthorizationCodeParameters;
import com.microsoft.aad.msal4j.AuthorizationRequestUrlParameters;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ClientCredentialParameters;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.DeviceCodeFlowParameters;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.IClientCredential;
import com.microsoft.aad.msal4j.InteractiveRequestParameters;
import com.microsoft.aad.msal4j.OnBehalfOfParameters;
import com.microsoft.aad.msal4j.PublicClientApplication;
import com.microsoft.aad.msal4j.ResponseMode;
import com.microsoft.aad.msal4j.SystemBrowserOptions;
import com.microsoft.aad.msal4j.UserAssertion;
import com.microsoft.aad.msal4j.UserNamePasswordParameters;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/**
 * msal4j and azure-identity as clients of an authority, and azure-identity as one of a managed identity. What is asked and answered: ../README.md.
 *
 * <p>javax.net.ssl.trustStore has to have the authority's CA, and nothing else: both libraries' HTTP clients go by it.
 */
public final class Client {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final JsonNode asked;

    private Client(JsonNode asked) {
        this.asked = asked;
    }

    public static void main(String[] arguments) throws Exception {
        int status = 0;
        try {
            say(Map.of("token", new Client(JSON.readTree(arguments[0])).token()));
        } catch (Exception error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            say(Map.of("error", cause.getClass().getSimpleName() + ": " + cause.getMessage()));
            status = 1;
        }
        // Their pools have threads that would keep it alive.
        System.exit(status);
    }

    private static synchronized void say(Map<String, ?> line) throws Exception {
        System.out.println(JSON.writeValueAsString(line));
        System.out.flush();
    }

    private static void sayOrFail(Map<String, ?> line) {
        try {
            say(line);
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private String get(String name) {
        return asked.path(name).asText("");
    }

    private String token() throws Exception {
        if (get("library").equals("msal4j")) {
            return msal().join().accessToken();
        }
        return azure().getToken(new TokenRequestContext().addScopes(get("scope"))).block().getToken();
    }

    /** Has the user sign in at this address; returns the code that came back to the redirect URI. */
    private static String signIn(String url) throws Exception {
        say(Map.of("url", url));
        String back = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine();
        for (String pair : URI.create(back).getRawQuery().split("&")) {
            if (pair.startsWith("code=")) {
                return URLDecoder.decode(pair.substring(5), StandardCharsets.UTF_8);
            }
        }
        throw new IllegalStateException("no code in " + back);
    }

    // === msal4j ===

    private IClientCredential msalCredential() throws Exception {
        if (asked.has("key_pem")) {
            return ClientCredentialFactory.createFromCertificate(key(), certificate());
        }
        if (asked.has("client_assertion")) {
            return ClientCredentialFactory.createFromClientAssertion(get("client_assertion"));
        }
        return ClientCredentialFactory.createFromSecret(get("secret"));
    }

    private PrivateKey key() throws Exception {
        String bare = get("key_pem").replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
        return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(bare)));
    }

    private X509Certificate certificate() throws Exception {
        byte[] pem = get("certificate_pem").getBytes(StandardCharsets.US_ASCII);
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem));
    }

    private CompletableFuture<IAuthenticationResult> msal() throws Exception {
        Set<String> scopes = Set.of(get("scope"));
        String authority = "https://" + get("host") + "/" + get("tenant") + "/";
        switch (get("flow")) {
            case "device":
            case "password":
            case "interactive":
                PublicClientApplication open = PublicClientApplication.builder(get("client_id")).authority(authority)
                    .instanceDiscovery(false).build();
                if (get("flow").equals("device")) {
                    return open.acquireToken(
                        DeviceCodeFlowParameters.builder(scopes, code -> sayOrFail(Map.of("user_code", code.userCode()))).build());
                }
                if (get("flow").equals("password")) {
                    return open.acquireToken(
                        UserNamePasswordParameters.builder(scopes, get("username"), get("password").toCharArray()).build());
                }
                // Listens on a port of its own choice.
                SystemBrowserOptions browser = SystemBrowserOptions.builder()
                    .openBrowserAction(url -> sayOrFail(Map.of("url", url.toString(), "listens", true)))
                    .build();
                return open.acquireToken(InteractiveRequestParameters.builder(new URI("http://localhost"))
                    .scopes(scopes).systemBrowserOptions(browser).build());
            default:
        }
        ConfidentialClientApplication app =
            ConfidentialClientApplication.builder(get("client_id"), msalCredential()).authority(authority).instanceDiscovery(false).build();
        switch (get("flow")) {
            case "secret":
            case "certificate":
            case "federated":
                return app.acquireToken(ClientCredentialParameters.builder(scopes).build());
            case "obo":
                return app.acquireToken(OnBehalfOfParameters.builder(scopes, new UserAssertion(get("assertion"))).build());
            case "code":
                String url = app.getAuthorizationRequestUrl(AuthorizationRequestUrlParameters.builder(get("redirect_uri"), scopes)
                    .responseMode(ResponseMode.QUERY).build()).toString();
                return app.acquireToken(
                    AuthorizationCodeParameters.builder(signIn(url), new URI(get("redirect_uri"))).scopes(scopes).build());
            default:
                throw new IllegalArgumentException("no such flow: " + get("flow"));
        }
    }

    // === azure-identity ===

    private TokenCredential azure() throws Exception {
        String host = "https://" + get("host");
        // Null: none is named.
        String named = asked.has("client_id") ? get("client_id") : null;
        switch (get("flow")) {
            case "identity":
                return new ManagedIdentityCredentialBuilder().clientId(named).build();
            case "default":
                return new DefaultAzureCredentialBuilder().managedIdentityClientId(named).build();
            case "secret":
                return new ClientSecretCredentialBuilder().authorityHost(host).disableInstanceDiscovery().tenantId(get("tenant"))
                    .clientId(get("client_id")).clientSecret(get("secret")).build();
            case "certificate":
                byte[] pem = (get("key_pem") + "\n" + get("certificate_pem")).getBytes(StandardCharsets.US_ASCII);
                return new ClientCertificateCredentialBuilder().authorityHost(host).disableInstanceDiscovery()
                    .tenantId(get("tenant")).clientId(get("client_id")).pemCertificate(new ByteArrayInputStream(pem)).build();
            case "federated":
                return new ClientAssertionCredentialBuilder().authorityHost(host).disableInstanceDiscovery()
                    .tenantId(get("tenant")).clientId(get("client_id")).clientAssertion(() -> get("client_assertion")).build();
            case "obo":
                return new OnBehalfOfCredentialBuilder().authorityHost(host).disableInstanceDiscovery().tenantId(get("tenant"))
                    .clientId(get("client_id")).clientSecret(get("secret")).userAssertion(get("assertion")).build();
            case "code":
                // It redeems codes and leaves the way to one to its user.
                String url = host + "/" + get("tenant") + "/oauth2/v2.0/authorize?response_type=code&client_id=" + get("client_id")
                    + "&redirect_uri=" + URLEncoder.encode(get("redirect_uri"), StandardCharsets.UTF_8)
                    + "&scope=" + URLEncoder.encode(get("scope"), StandardCharsets.UTF_8);
                return new AuthorizationCodeCredentialBuilder().authorityHost(host).disableInstanceDiscovery()
                    .tenantId(get("tenant")).clientId(get("client_id")).clientSecret(get("secret"))
                    .authorizationCode(signIn(url)).redirectUrl(get("redirect_uri")).build();
            case "device":
                return new DeviceCodeCredentialBuilder().authorityHost(host).disableInstanceDiscovery().tenantId(get("tenant"))
                    .clientId(get("client_id")).challengeConsumer(code -> sayOrFail(Map.of("user_code", code.getUserCode()))).build();
            case "password":
                return new UsernamePasswordCredentialBuilder().authorityHost(host).disableInstanceDiscovery()
                    .tenantId(get("tenant")).clientId(get("client_id")).username(get("username")).password(get("password")).build();
            default:
                throw new IllegalArgumentException("no such flow: " + get("flow"));
        }
    }
}
