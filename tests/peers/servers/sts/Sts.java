// Apache CXF's security token service with one user: it issues SAML assertions, 1.1 and 2.0, signed with its own key.
//
//     java Sts PORT KEYSTORE PASSWORD ISSUER AUDIENCE...
//
// POST /saml1 and /saml2 take WS-Trust 1.3 requests with a user name and a password, for one of the audiences.

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import javax.security.auth.callback.CallbackHandler;
import org.apache.cxf.Bus;
import org.apache.cxf.BusFactory;
import org.apache.cxf.jaxws.EndpointImpl;
import org.apache.cxf.sts.STSConstants;
import org.apache.cxf.sts.StaticSTSProperties;
import org.apache.cxf.sts.operation.TokenIssueOperation;
import org.apache.cxf.sts.service.StaticService;
import org.apache.cxf.sts.token.provider.SAMLTokenProvider;
import org.apache.cxf.ws.addressing.WSAddressingFeature;
import org.apache.cxf.ws.security.sts.provider.SecurityTokenServiceProvider;
import org.apache.cxf.ws.security.wss4j.WSS4JInInterceptor;
import org.apache.wss4j.common.crypto.Crypto;
import org.apache.wss4j.common.crypto.CryptoFactory;
import org.apache.wss4j.common.ext.WSPasswordCallback;

public class Sts {
    static final String PROFILE = "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#";

    public static void main(String[] given) throws Exception {
        String address = "http://127.0.0.1:" + given[0];
        List<String> audiences = Arrays.asList(given).subList(4, given.length);

        Properties store = new Properties();
        store.put("org.apache.wss4j.crypto.provider", "org.apache.wss4j.common.crypto.Merlin");
        store.put("org.apache.wss4j.crypto.merlin.keystore.type", "PKCS12");
        store.put("org.apache.wss4j.crypto.merlin.keystore.file", given[1]);
        store.put("org.apache.wss4j.crypto.merlin.keystore.password", given[2]);
        Crypto crypto = CryptoFactory.getInstance(store);
        // One password for the key and for the one user there is.
        CallbackHandler passwords = callbacks -> Arrays.stream(callbacks)
            .filter(WSPasswordCallback.class::isInstance).map(WSPasswordCallback.class::cast)
            .filter(asked -> !"nobody@contoso.example".equals(asked.getIdentifier()))
            .forEach(asked -> asked.setPassword(given[2]));

        StaticSTSProperties properties = new StaticSTSProperties();
        properties.setSignatureCrypto(crypto);
        properties.setSignatureUsername("sts");
        properties.setCallbackHandler(passwords);
        properties.setIssuer(given[3]);

        publish(address + "/saml1", "SAMLV1.1", properties, audiences, passwords);
        publish(address + "/saml2", "SAMLV2.0", properties, audiences, passwords);
        System.out.println("the STS listens");
    }

    static void publish(String address, String type, StaticSTSProperties properties, List<String> audiences, CallbackHandler passwords)
            throws Exception {
        StaticService service = new StaticService();
        service.setEndpoints(audiences);
        // Requests of MSAL name none.
        service.setTokenType(PROFILE + type);
        TokenIssueOperation issue = new TokenIssueOperation();
        issue.setStsProperties(properties);
        issue.setServices(List.of(service));
        issue.setTokenProviders(List.of(new SAMLTokenProvider()));
        SecurityTokenServiceProvider provider = new SecurityTokenServiceProvider();
        provider.setIssueOperation(issue);

        Bus bus = BusFactory.getDefaultBus();
        EndpointImpl endpoint = new EndpointImpl(bus, provider, "http://www.w3.org/2003/05/soap/bindings/HTTP/");
        endpoint.getFeatures().add(new WSAddressingFeature());
        endpoint.getInInterceptors().add(new WSS4JInInterceptor(Map.of(
            "action", "Timestamp UsernameToken", "passwordCallbackRef", passwords, "isBSPCompliant", "false")));
        endpoint.publish(address);
    }
}
