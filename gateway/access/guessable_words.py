"""Words that somebody who knows the house would try first, in its four languages: a password of them is weak."""

_TEXT = """
alarm alert alerte alarme waarschuwing warnung warning noodgeval urgence notfall emergency crisis crise krise ramp
rampenplan catastrophe katastrophe disaster politie police polizei politiezone zone brandweer pompiers feuerwehr
brandweerman pompier ambulance ambulancier rettung hulpverlening secours rescue brand feu feuer incendie fire
evacuatie evacuation evakuierung overstroming inondation hochwasser flood storm tempete sturm gas gaz explosion
ontploffing dispatch dispatching meldkamer leitstelle centrale 112 101 100 noodcentrale cic ads gemeente commune
gemeinde stad ville stadt burgemeester bourgmestre burgermeister gouverneur provincie province provinz
noodplanning planification coordinator coordinateur koordinator officier officer offizier agent inspecteur
inspecteur commissaris commissaire kommissar korps corps kazerne caserne belgie belgique belgien belgium
vlaanderen wallonie brussel bruxelles ostbelgien tocsin bealert be-alert welkom bienvenue willkommen welcome
wachtwoord motdepasse passwort kennwort geheim secret geheimnis paswoord paswoord123 azerty qwerty qwertz
bewoner riverain anwohner buurt quartier nachbarschaft netwerk reseau netzwerk network buurtinformatienetwerk bin
plp veiligheid securite sicherheit safety gezondheid sante gesundheit school ecole schule ziekenhuis hopital
krankenhaus lente printemps fruhling zomer ete sommer herfst automne herbst winter hiver januari janvier januar
maandag lundi montag vrijdag vendredi freitag
"""
WORDS = tuple(_TEXT.split())
