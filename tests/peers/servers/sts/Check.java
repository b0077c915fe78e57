// Whether an assertion is signed by a key, as Java's own XML signatures see it.
//
//     java Check ASSERTION_IN_BASE64 N E
//
// N and E are the key's numbers as a JWK has them. Says true or false.

import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.spec.RSAPublicKeySpec;
import java.util.Base64;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;

public class Check {
    public static void main(String[] given) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Document document = factory.newDocumentBuilder().parse(new ByteArrayInputStream(Base64.getUrlDecoder().decode(given[0])));
        RSAPublicKeySpec numbers = new RSAPublicKeySpec(number(given[1]), number(given[2]));
        PublicKey key = KeyFactory.getInstance("RSA").generatePublic(numbers);
        Element assertion = document.getDocumentElement();
        DOMValidateContext context =
            new DOMValidateContext(key, document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature").item(0));
        context.setIdAttributeNS(assertion, null, assertion.hasAttribute("ID") ? "ID" : "AssertionID");
        System.out.println(XMLSignatureFactory.getInstance("DOM").unmarshalXMLSignature(context).validate(context));
    }

    static BigInteger number(String encoded) {
        return new BigInteger(1, Base64.getUrlDecoder().decode(encoded));
    }
}
