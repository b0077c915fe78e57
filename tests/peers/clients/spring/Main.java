package app;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.time.Duration;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.server.servlet.context.ServletWebServerInitializedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.annotation.RegisteredOAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A web application that shows the tokens which Spring Security gets for it; it says its port as a JSON object. */
@SpringBootApplication
public class Main {
    public static void main(String[] arguments) {
        SpringApplication.run(Main.class, arguments);
    }

    @EventListener
    void started(ServletWebServerInitializedEvent event) {
        System.out.println("{\"port\": " + event.getWebServer().getPort() + "}");
        System.out.flush();
    }

    @RestController
    static class Tokens {
        private final DefaultOAuth2AuthorizedClientManager eager;

        Tokens(ClientRegistrationRepository registrations, OAuth2AuthorizedClientRepository clients) {
            // Takes every token for one that has ended: a test does not wait for that.
            eager = new DefaultOAuth2AuthorizedClientManager(registrations, clients);
            eager.setAuthorizedClientProvider(
                OAuth2AuthorizedClientProviderBuilder.builder().refreshToken(all -> all.clockSkew(Duration.ofDays(1))).build());
        }

        @GetMapping("/application")
        Map<String, String> application(@RegisteredOAuth2AuthorizedClient("application") OAuth2AuthorizedClient client) {
            return shown(client);
        }

        @GetMapping("/user")
        Map<String, String> user(@RegisteredOAuth2AuthorizedClient("user") OAuth2AuthorizedClient client) {
            return shown(client);
        }

        @GetMapping("/refreshed")
        Map<String, String> refreshed(Authentication user, HttpServletRequest request, HttpServletResponse response) {
            return shown(eager.authorize(OAuth2AuthorizeRequest.withClientRegistrationId("user").principal(user)
                .attribute(HttpServletRequest.class.getName(), request)
                .attribute(HttpServletResponse.class.getName(), response).build()));
        }

        private static Map<String, String> shown(OAuth2AuthorizedClient client) {
            var handle = client.getRefreshToken();
            return Map.of("access_token", client.getAccessToken().getTokenValue(),
                "refresh_token", handle == null ? "" : handle.getTokenValue());
        }
    }
}
