"""The interface of both servers: requests, answers, errors and the page that describes them."""
