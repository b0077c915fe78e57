package app;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.client.endpoint.OAuth2AccessTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.OAuth2AuthorizationCodeGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientAuthorizationCodeTokenResponseClient;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.util.LinkedMultiValueMap;

@Configuration
class SignIn {
    @Bean
    SecurityFilterChain security(HttpSecurity http) throws Exception {
        return http
            .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
            .oauth2Login(login -> login
                .redirectionEndpoint(back -> back.baseUri("/callback"))
                .tokenEndpoint(tokens -> tokens.accessTokenResponseClient(codes())))
            .build();
    }

    /** The scope is named again: tokend has not seen the address that the browser went to. */
    private static OAuth2AccessTokenResponseClient<OAuth2AuthorizationCodeGrantRequest> codes() {
        var client = new RestClientAuthorizationCodeTokenResponseClient();
        client.addParametersConverter(grant -> {
            var more = new LinkedMultiValueMap<String, String>();
            more.add("scope", String.join(" ", grant.getClientRegistration().getScopes()));
            return more;
        });
        return client;
    }
}
